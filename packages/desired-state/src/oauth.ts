import { NAME_PATTERN } from "@tollgate/contracts";
import { z } from "zod";
import { number } from "./scalars.ts";

// Messages never repeat a value: it may have come from the environment and be a secret.

/**
 * Signature algorithms with a public key. Those with a shared secret are left out: this side could not keep the key from
 * signing, and a public key taken for a secret would let anybody sign.
 */
const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"] as const;
/** What stands for a person in a token and in `user:NAME`: no spaces, nothing unprintable, and no `*` that looks like a pattern. */
export const SUBJECT_PATTERN = /^[\x21-\x29\x2b-\x7e]{1,190}$/;

const LOCAL_HOSTS = new Set(["localhost", "127.0.0.1", "[::1]"]);
const TEXT_MAX_CHARS = 2_048;
const SCOPES_MAX = 16;
const CLOCK_SKEW_MAX_SECONDS = 300;
const ISSUERS_MAX = 16;
const ROLES_MAPPED_MAX = 1_000;

/** Access tokens (JWT, RFC 9068) of one issuer, which stand for people. */
export interface DesiredOauth {
  /** Stands before the subjects of its users, `user:NAME/SUBJECT`; undefined where it is the only issuer. */
  readonly name: string | undefined;
  /** As it stands in `iss`, to the letter. */
  readonly issuer: string;
  /** Undefined where the issuer's metadata says it (RFC 8414, OpenID Connect Discovery). */
  readonly jwksUri: string | undefined;
  /** What stands for this gate in `aud` beside its own URLs. */
  readonly audience: string | undefined;
  /** All of them are needed for MCP. */
  readonly requiredScopes: readonly string[];
  /** Opens the management API; undefined means that no access token does. */
  readonly adminScope: string | undefined;
  /** The claims that say who it is; what has none is the default. */
  readonly claims: {
    readonly principal: string;
    readonly tenant: string | undefined;
    readonly team: string | undefined;
    readonly roles: string | undefined;
  };
  /** What the issuer's roles or groups are called here; those that are not listed keep their names. */
  readonly roleMap: Readonly<Record<string, string>>;
  readonly algorithms: readonly string[];
  readonly clockSkewSeconds: number;
}

const text = z.string().min(1, "is empty").max(TEXT_MAX_CHARS);
const name = z.string().regex(NAME_PATTERN, "has to be 1 to 63 of a-z, 0-9 and inner -");
// RFC 6749, section 3.3.
const scope = text.regex(
  /^[\x21\x23-\x5b\x5d-\x7e]+$/,
  "is not a scope: printable ASCII without spaces, quotes and \\",
);

/** Keys are trusted because of where they come from: https, or this machine. */
const trustedUrl = text.superRefine((value, context) => {
  const url = URL.parse(value);
  const isTrusted = url?.protocol === "https:" || (url?.protocol === "http:" && LOCAL_HOSTS.has(url.hostname));
  if (!isTrusted) return context.addIssue("has to be an https URL; http is for this machine only");
  if (url.username !== "" || url.password !== "") context.addIssue("must not hold credentials");
});
const issuer = trustedUrl.refine((value) => !/[?#]/.test(value), "must have neither query nor fragment");

/** Without the slash at its end, so that paths can be put behind it. */
export const publicUrlSchema = text.transform((value, context) => {
  const url = URL.parse(value);
  const isPlain = url !== null && /^https?:$/.test(url.protocol) && !/[?#]/.test(value) && url.username === "";
  if (isPlain) return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
  context.addIssue("has to be an http or https URL without credentials, query and fragment");
  return z.NEVER;
});

const claims = z.strictObject({
  principal: text.default("sub"),
  tenant: text.optional(),
  team: text.optional(),
  roles: text.optional(),
});

const oauthSchema = z.strictObject({
  name: name.optional(),
  issuer,
  jwks_uri: trustedUrl.optional(),
  audience: text.optional(),
  required_scopes: z.array(scope).max(SCOPES_MAX).default(["mcp"]),
  admin_scope: scope.optional(),
  claims: claims.prefault({}),
  role_map: z
    .record(text, name)
    .refine((map) => Object.keys(map).length <= ROLES_MAPPED_MAX, `has more than ${ROLES_MAPPED_MAX} entries`)
    .default({}),
  algorithms: z.array(z.enum(ALGORITHMS)).min(1, "is empty").default(["RS256", "PS256", "ES256", "EdDSA"]),
  clock_skew_seconds: number(z.number().int().min(0).max(CLOCK_SKEW_MAX_SECONDS)).default(30),
});

const issuers = z
  .array(oauthSchema)
  .min(1, "is empty")
  .max(ISSUERS_MAX)
  .superRefine((list, context) => {
    for (const [i, { name: own, issuer: url }] of list.entries()) {
      const before = list.slice(0, i);
      // The same subject of two issuers is two people.
      if (own === undefined && list.length > 1) context.addIssue({ code: "custom", path: [i, "name"] });
      if (own !== undefined && before.some((other) => other.name === own))
        context.addIssue({ code: "custom", path: [i, "name"], message: "is the name of another issuer already" });
      if (before.some((other) => other.issuer === url))
        context.addIssue({ code: "custom", path: [i, "issuer"], message: "is another entry's already" });
    }
  });

/** One issuer, or a list of them. Not a union: its mistakes would not say where they are. */
export const oauthsSchema = z.unknown().transform((value, context): z.infer<typeof issuers> => {
  const parsed = Array.isArray(value) ? issuers.safeParse(value) : oauthSchema.safeParse(value);
  if (parsed.success) return Array.isArray(parsed.data) ? parsed.data : [parsed.data];
  context.issues.push(...parsed.error.issues.map((issue) => ({ ...issue, input: value }) as z.core.$ZodRawIssue));
  return z.NEVER;
});

export const OAUTH_KEYS: Readonly<Record<string, readonly string[]>> = {
  "control_plane.auth.oauth": Object.keys(oauthSchema.shape),
  "control_plane.auth.oauth.claims": Object.keys(claims.shape),
};

export function toOauth(parsed: z.infer<typeof oauthSchema>): DesiredOauth {
  const { tenant, team, roles, principal } = parsed.claims;
  return {
    name: parsed.name,
    issuer: parsed.issuer,
    jwksUri: parsed.jwks_uri,
    audience: parsed.audience,
    requiredScopes: parsed.required_scopes,
    adminScope: parsed.admin_scope,
    claims: { principal, tenant, team, roles },
    roleMap: parsed.role_map,
    algorithms: parsed.algorithms,
    clockSkewSeconds: parsed.clock_skew_seconds,
  };
}
