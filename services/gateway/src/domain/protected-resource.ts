// What a client is told about getting in: OAuth 2.0 Protected Resource Metadata (RFC 9728) and `WWW-Authenticate`
// (RFC 6750, section 3; MCP 2026-07-28, Authorization). Every URL is made of the configured one: what a request says of
// its host is the client's word, and would let a page in between have tokens issued for itself.

export interface ProtectedResource {
  /** Under which clients reach the gateway; without a slash at its end. */
  readonly publicUrl: string;
  /** Issuers of access tokens. None: only tokens that are handed out by hand are taken, and clients are told of no other way. */
  readonly authorizationServers: readonly string[];
  /** All that MCP needs. */
  readonly scopes: readonly string[];
}

/**
 * Groups and servers are behind routes of their own, and each transport may have a word at the route's end. A tool set is
 * no resource of its own: what is in it changes, and tokens are meant for places.
 */
const MCP_PATH = /^\/mcp(?!\/sets\/)(?:\/[a-z0-9-]{1,63}){0,2}(?:\/(?:sse|messages|ws))?$/;
export const WELL_KNOWN = "/.well-known/oauth-protected-resource";
const DESCRIPTION_MAX_CHARS = 300;

/**
 * The document for a route such as `/mcp/files`; undefined where no route can be, or no issuer is. Whether there is
 * such a group is not told: nobody has said yet who asks.
 */
export function resourceMetadata(resource: ProtectedResource, path: string): Record<string, unknown> | undefined {
  const { publicUrl, authorizationServers, scopes } = resource;
  if (authorizationServers.length === 0 || !MCP_PATH.test(path)) return undefined;
  return {
    resource: `${publicUrl}${path}`,
    resource_name: "Tollgate",
    authorization_servers: authorizationServers,
    ...(scopes.length === 0 ? {} : { scopes_supported: scopes }),
    bearer_methods_supported: ["header"],
  };
}

/**
 * The route that a well-known path is about. Clients put `/.well-known/…` before the whole path of the URL that they use
 * (RFC 9728, section 3.1), so the path of the public URL may come first. Without any, it is the gate as a whole.
 */
export function routeOf({ publicUrl }: ProtectedResource, wellKnownPath: string): string {
  const path = wellKnownPath.slice(WELL_KNOWN.length);
  const base = new URL(publicUrl).pathname.replace(/\/$/, "");
  const route = path === base || path.startsWith(`${base}/`) ? path.slice(base.length) : path;
  return route === "" || route === "/" ? "/mcp" : route;
}

export function metadataUrl({ publicUrl }: ProtectedResource, path: string): string {
  const { origin, pathname } = new URL(publicUrl);
  return `${origin}${WELL_KNOWN}${pathname.replace(/\/$/, "")}${MCP_PATH.test(path) ? path : "/mcp"}`;
}

/**
 * `WWW-Authenticate` of a 401.
 * @param problem what is wrong with the token; undefined where none was sent, since that is no error (RFC 6750, section 3.1)
 */
export function unauthorizedChallenge(resource: ProtectedResource, path: string, problem?: string): string {
  const error = problem === undefined ? {} : { error: "invalid_token", error_description: describable(problem) };
  return challenge({ ...error, ...wayIn(resource, path) });
}

/** `WWW-Authenticate` of a 403: the scopes that are needed, all at once, so that a client asks its user only once. */
export function scopeChallenge(resource: ProtectedResource, path: string): string {
  return challenge({ error: "insufficient_scope", ...wayIn(resource, path) });
}

/** What a stronger sign-in has to have (RFC 9470). */
export interface StepUp {
  readonly acrValues: readonly string[];
  /** Seconds; 0: any age. */
  readonly maxAge: number;
}

/** Of an error that says that only a stronger sign-in is missing. */
export function stepUpOf(details: Readonly<Record<string, unknown>>): StepUp | undefined {
  return details["stepUp"] as StepUp | undefined;
}

/**
 * `WWW-Authenticate` of a 401 to whoever is known, and has to sign in once more (RFC 9470, section 3).
 * @param place where it was asked for, where that is a resource of its own
 */
export function stepUpChallenge(
  { acrValues, maxAge }: StepUp,
  place?: { readonly resource: ProtectedResource; readonly path: string },
): string {
  return challenge({
    error: "insufficient_user_authentication",
    error_description: "a stronger or newer sign-in is needed",
    ...(acrValues.length === 0 ? {} : { acr_values: describable(acrValues.join(" ")) }),
    ...(maxAge === 0 ? {} : { max_age: String(maxAge) }),
    ...(place === undefined ? {} : wayIn(place.resource, place.path)),
  });
}

/**
 * Whether a principal may use a route at all. An access token is meant for the whole gate (`mcp`) or for one route and
 * what is below it (`mcp:GROUP`, `mcp:GROUP/SERVER`).
 * - `elsewhere`: it is meant for another route, so for this one it is as good as none: 401
 * - `lacking`: it has no permission for MCP: 403
 */
export function routeAccess(
  permissions: readonly string[],
  { group, server }: { readonly group: string | undefined; readonly server: string | undefined },
): "granted" | "elsewhere" | "lacking" {
  const covering = ["mcp"];
  if (group !== undefined) covering.push(`mcp:${group}`);
  if (group !== undefined && server !== undefined) covering.push(`mcp:${group}/${server}`);
  if (covering.some((each) => permissions.includes(each))) return "granted";
  return permissions.some((each) => each.startsWith("mcp:")) ? "elsewhere" : "lacking";
}

function wayIn(resource: ProtectedResource, path: string): Record<string, string> {
  const { authorizationServers, scopes } = resource;
  if (authorizationServers.length === 0) return {};
  const scope: Record<string, string> = scopes.length === 0 ? {} : { scope: scopes.join(" ") };
  return { resource_metadata: metadataUrl(resource, path), ...scope };
}

function challenge(parameters: Readonly<Record<string, string>>): string {
  const list = Object.entries(parameters).map(([name, value]) => `${name}="${value}"`);
  return ["Bearer", list.join(", ")].join(" ").trim();
}

/** RFC 6750, section 3: printable ASCII without `"` and `\`. Reasons hold names in quotes. */
function describable(text: string): string {
  return text
    .slice(0, DESCRIPTION_MAX_CHARS)
    .replaceAll('"', "'")
    .replace(/[^\x20-\x5b\x5d-\x7e]/g, "?");
}
