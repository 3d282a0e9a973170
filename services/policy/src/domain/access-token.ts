import { NAME_PATTERN, type Parsed } from "@tollgate/contracts";
import { type DesiredOauth, ROUTE_WORDS, SUBJECT_PATTERN } from "@tollgate/desired-state";

// An access token is a JWT (RFC 9068) whose signature, issuer and times have been checked elsewhere. Here: who it stands
// for, whether it is meant for this gate, and what it permits.

export interface OauthSettings extends DesiredOauth {
  /** Under which clients reach the gateway; without a slash at its end. */
  readonly publicUrl: string;
}

/** How a user has signed in (RFC 8176; OpenID Connect Core, section 2). */
export interface SignInClaims {
  readonly amr: readonly string[];
  readonly acr: string;
  /** Unix milliseconds; 0 where it is not known. */
  readonly authenticatedAtMs: number | bigint;
}

/** Who an access token stands for. */
export interface User extends SignInClaims {
  /** `user:SUBJECT`; of an issuer that has a name `user:NAME/SUBJECT`, so that two issuers' subjects are two people. */
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
const METHODS_MAX = 32;
const CLAIM_MAX_CHARS = 256;
const LATEST_SECONDS = 8_640_000_000_000;
/** Access tokens, and what issuers that make no difference call any JWT. Not, for example, `logout+jwt` or `dpop+jwt`. */
const TYPES = new Set<unknown>([undefined, "jwt", "at+jwt", "application/at+jwt"]);

export function looksLikeJwt(token: string): boolean {
  return token.length <= JWT_MAX_CHARS && JWT.test(token);
}

/**
 * The reasons name claims and never repeat them.
 * @param certificateSha256 of the certificate that the client has proved to have; undefined where it has proved none
 */
export function toUser(
  { header, claims, certificateSha256 }: { header: Claims; claims: Claims; certificateSha256?: string | undefined },
  settings: OauthSettings,
): Parsed<User> {
  const type = header["typ"];
  if (!TYPES.has(typeof type === "string" ? type.toLowerCase() : type)) return refuse("is not an access token (typ)");
  const unproved = bindingProblem(claims["cnf"], certificateSha256);
  if (unproved !== undefined) return refuse(unproved);
  const reach = reachOf(claims["aud"], settings);
  if (reach.length === 0) return refuse("is meant for somebody else (aud)");
  const names = settings.claims;
  const subject = subjectIn(claimAt(claims, names.principal), settings.name);
  if (subject === undefined)
    return refuse(`has no usable ${names.principal}: 1 to 190 printable characters without spaces and *`);
  const tenant = nameIn(claims, names.tenant);
  if (!tenant.ok) return tenant;
  const team = nameIn(claims, names.team);
  if (!team.ok) return team;
  const roles = new Set(
    textsOf(names.roles === undefined ? undefined : claimAt(claims, names.roles)).map((role) =>
      Object.hasOwn(settings.roleMap, role) ? settings.roleMap[role]! : role,
    ),
  );
  if (roles.size > ROLES_MAX) return refuse(`has more than ${ROLES_MAX} roles`);
  return {
    ok: true,
    value: {
      id: `user:${subject}`,
      tenant: tenant.value,
      team: team.value,
      // Issuers have roles of their own beside those for this gate. No policy could name them.
      roles: [...roles].filter((role) => NAME_PATTERN.test(role)),
      permissions: permissionsOf(new Set([...textsOf(claims["scope"]), ...textsOf(claims["scp"])]), reach, settings),
      ...signInIn(claims),
    },
  };
}

/** Policies name users by what this returns, so the issuer's name counts into its length. */
function subjectIn(claim: unknown, issuer: string | undefined): string | undefined {
  if (typeof claim !== "string") return undefined;
  const subject = issuer === undefined ? claim : `${issuer}/${claim}`;
  return claim !== "" && SUBJECT_PATTERN.test(subject) ? subject : undefined;
}

/**
 * A token that is bound to a client's certificate (RFC 8705, section 3) is worth nothing without it; of other bindings (RFC
 * 9449, section 7.1) nobody has asked for a proof here.
 */
function bindingProblem(cnf: unknown, certificateSha256: string | undefined): string | undefined {
  if (cnf === undefined) return undefined;
  const bound = Object.entries(cnf ?? {}) as [string, unknown][];
  if (bound.length !== 1 || bound[0]![0] !== "x5t#S256")
    return "is bound to a key of its client (cnf) in a way that is not supported";
  if (certificateSha256 === undefined) return "is bound to a client certificate (cnf), and there is none";
  const expected = Buffer.from(certificateSha256, "hex").toString("base64url");
  return bound[0]![1] === expected ? undefined : "is bound to another client certificate (cnf)";
}

/** What is not as it has to be is not known, which counts as weaker than all that is. */
function signInIn(claims: Claims): SignInClaims {
  const { amr, acr, auth_time: seconds } = claims;
  const methods = Array.isArray(amr)
    ? amr.filter((each) => typeof each === "string" && each.length <= CLAIM_MAX_CHARS)
    : [];
  const isTime = typeof seconds === "number" && seconds > 0 && seconds <= LATEST_SECONDS;
  return {
    amr: methods.slice(0, METHODS_MAX) as string[],
    acr: typeof acr === "string" && acr.length <= CLAIM_MAX_CHARS ? acr : "",
    authenticatedAtMs: isTime ? Math.floor(seconds * 1_000) : 0,
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
