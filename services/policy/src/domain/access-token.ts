import { NAME_PATTERN, type Parsed } from "@tollgate/contracts";
import { type DesiredOauth, ROUTE_WORDS, SUBJECT_PATTERN } from "@tollgate/desired-state";

// An access token is a JWT (RFC 9068) whose signature, issuer and times have been checked elsewhere. Here: who it stands
// for, whether it is meant for this gate, and what it permits.

export interface OauthSettings extends DesiredOauth {
  /** Under which clients reach the gateway; without a slash at its end. */
  readonly publicUrl: string;
}

/** Who an access token stands for. */
export interface User {
  /** `user:` and the subject. Tokens' names hold no colon, so that nobody can be taken for one. */
  readonly id: string;
  readonly tenant: string;
  readonly team: string;
  readonly roles: readonly string[];
  /** `mcp`; `mcp:GROUP` or `mcp:GROUP/SERVER` where the token is meant for that route only; `admin`. */
  readonly permissions: readonly string[];
}

export type Claims = Readonly<Record<string, unknown>>;

const JWT_MAX_CHARS = 8_192;
const JWT = /^[\w-]+\.[\w-]+\.[\w-]*$/;
const ROLES_MAX = 256;
const USER_PREFIX = "user:";
/** Access tokens, and what issuers that make no difference call any JWT. Not, for example, `logout+jwt` or `dpop+jwt`. */
const TYPES = new Set<unknown>([undefined, "jwt", "at+jwt", "application/at+jwt"]);

export function looksLikeJwt(token: string): boolean {
  return token.length <= JWT_MAX_CHARS && JWT.test(token);
}

/** The user's subject, or undefined where the principal is not a user. */
export function subjectOf(principalId: string): string | undefined {
  return principalId.startsWith(USER_PREFIX) ? principalId.slice(USER_PREFIX.length) : undefined;
}

/** The reasons name claims and never repeat them. */
export function toUser(header: Claims, claims: Claims, settings: OauthSettings): Parsed<User> {
  const type = header["typ"];
  if (!TYPES.has(typeof type === "string" ? type.toLowerCase() : type)) return refuse("is not an access token (typ)");
  // RFC 9449, section 7.1, and RFC 8705, section 3: worth nothing without a proof, which nobody has asked for here.
  if (claims["cnf"] !== undefined) return refuse("is bound to a key of its client (cnf), which is not supported");
  const reach = reachOf(claims["aud"], settings);
  if (reach.length === 0) return refuse("is meant for somebody else (aud)");
  const names = settings.claims;
  const subject = claimAt(claims, names.principal);
  if (typeof subject !== "string" || !SUBJECT_PATTERN.test(subject)) {
    return refuse(`has no usable ${names.principal}: 1 to 190 printable characters without spaces and *`);
  }
  const tenant = nameIn(claims, names.tenant);
  if (!tenant.ok) return tenant;
  const team = nameIn(claims, names.team);
  if (!team.ok) return team;
  const roles = textsOf(names.roles === undefined ? undefined : claimAt(claims, names.roles));
  if (roles.length > ROLES_MAX) return refuse(`has more than ${ROLES_MAX} roles`);
  return {
    ok: true,
    value: {
      id: `${USER_PREFIX}${subject}`,
      tenant: tenant.value,
      team: team.value,
      // Issuers have roles of their own beside those for this gate. No policy could name them.
      roles: roles.filter((role) => NAME_PATTERN.test(role)),
      permissions: permissionsOf(new Set([...textsOf(claims["scope"]), ...textsOf(claims["scp"])]), reach, settings),
    },
  };
}

/** Whether one of the permissions covers the server: the audience of an access token may be a single group or server. */
export function permitsMcp(permissions: readonly string[], { group, server }: { group: string; server: string }) {
  return ["mcp", `mcp:${group}`, `mcp:${group}/${server}`].some((each) => permissions.includes(each));
}

/**
 * RFC 8707, section 2: a token for the URL of a resource is good for what is below it, never for what is beside it. The
 * URLs are those of the configuration, so that no request can make a token of another gate good for this one.
 */
function reachOf(aud: unknown, { publicUrl, audience }: OauthSettings): string[] {
  const whole = `${publicUrl}/mcp`;
  const given = (Array.isArray(aud) ? aud : [aud]).filter((each) => typeof each === "string");
  if (audience !== undefined && given.includes(audience)) return ["mcp"];
  const reach = given.flatMap((each) => {
    // Scheme and host may be written in any case.
    const url = URL.parse(each)?.href;
    return url === whole || url?.startsWith(`${whole}/`) ? permissionFor(url.slice(whole.length)) : [];
  });
  return reach.includes("mcp") ? ["mcp"] : reach;
}

/** What a route's URL says behind `/mcp`: `/GROUP/SERVER`, both may be missing, and the word of a transport may follow. */
function permissionFor(path: string): string[] {
  const parts = path.split("/").slice(1);
  if (ROUTE_WORDS.includes(parts.at(-1)!)) parts.pop();
  if (parts.length === 0) return ["mcp"];
  return parts.length <= 2 && parts.every((part) => NAME_PATTERN.test(part)) ? [`mcp:${parts.join("/")}`] : [];
}

function permissionsOf(scopes: ReadonlySet<string>, reach: readonly string[], settings: OauthSettings): string[] {
  const { requiredScopes, adminScope } = settings;
  const permissions = requiredScopes.every((scope) => scopes.has(scope)) ? [...reach] : [];
  // The management API is beside every route.
  if (adminScope !== undefined && scopes.has(adminScope) && reach.includes("mcp")) permissions.push("admin");
  return permissions;
}

/** A tenant or team. What is there and no name is refused: the default may be allowed more. */
function nameIn(claims: Claims, claim: string | undefined): Parsed<string> {
  const value = claim === undefined ? undefined : claimAt(claims, claim);
  if (value === undefined || value === null) return { ok: true, value: "default" };
  if (typeof value === "string" && NAME_PATTERN.test(value)) return { ok: true, value };
  return refuse(`has no usable ${claim}: 1 to 63 of a-z, 0-9 and inner -`);
}

/** The claim of that name, which may hold dots as URLs do; else the dots lead into claims that are objects. */
function claimAt(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  return name.split(".").reduce<unknown>((at, step) => {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, step)) return undefined;
    return (at as Claims)[step];
  }, claims);
}

/** A list, or a text in which spaces part the entries; issuers do both. */
function textsOf(value: unknown): string[] {
  if (Array.isArray(value)) return [...new Set(value.filter((each) => typeof each === "string"))];
  return typeof value === "string" ? [...new Set(value.split(" ").filter((each) => each !== ""))] : [];
}

function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason };
}
