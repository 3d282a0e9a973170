import { NAME_PATTERN } from "@tollgate/contracts";
import { z } from "zod";
import { OAUTH_KEYS, oauthsSchema, toOauth } from "./oauth.ts";
import type { DesiredControlPlane } from "./state.ts";

// Messages never repeat a value: it may have come from the environment and be a secret.

const LIST_MAX = 256;
const ENTRIES_MAX = 10_000;
const CERTIFICATES_MAX = 1_000;
const TEXT_MAX_CHARS = 2_048;
const SECRET_MAX_CHARS = 4_096;
const DEFAULT = "default";

/**
 * `mcp`: may send MCP requests, subject to policies; `mcp:GROUP` and `mcp:GROUP/SERVER`: those for a group or a server
 * only; `admin`: may use the management API.
 */
export const PERMISSION_PATTERN =
  /^(?:admin|mcp(?::[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\/[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)?)?)$/;

const text = z.string().min(1, "is empty").max(TEXT_MAX_CHARS);
const name = z.string().regex(NAME_PATTERN, "has to be 1 to 63 of a-z, 0-9 and inner -");
const roles = z.array(name).max(LIST_MAX);
const permissions = z
  .array(z.string().regex(PERMISSION_PATTERN, "has to be mcp, mcp:GROUP, mcp:GROUP/SERVER or admin"))
  .max(LIST_MAX)
  .default(["mcp"]);

const token = z.strictObject({
  name,
  token: z
    .string()
    .min(1, "is empty")
    .max(SECRET_MAX_CHARS)
    .regex(/^[\x21-\x7e]+$/, "has to be printable ASCII without spaces"),
  agent: name.optional(),
  tenant: name.optional(),
  team: name.optional(),
  roles: roles.optional(),
  permissions,
  expires_at: z.iso.datetime({ offset: true, error: "has to be a time such as 2027-01-31T00:00:00Z" }).optional(),
});
const agent = z.strictObject({
  name,
  tenant: name.default(DEFAULT),
  team: name.default(DEFAULT),
  roles: roles.default([]),
});
const certificate = z.strictObject({
  name,
  /** As tools show it, too: in upper case, with colons. */
  sha256: z
    .string()
    .regex(/^[0-9a-f]{2}(?::?[0-9a-f]{2}){31}$/i, "has to be 64 hexadecimal digits")
    .transform((given) => given.replaceAll(":", "").toLowerCase())
    .optional(),
  common_name: text.optional(),
  alternative_name: text.optional(),
  agent: name.optional(),
  tenant: name.optional(),
  team: name.optional(),
  roles: roles.optional(),
  permissions,
});
const authShape = z.strictObject({
  /** `oauth` adds issuers' access tokens to the listed ones. */
  type: z.enum(["token", "oauth"]).optional(),
  tokens: z.array(token).max(ENTRIES_MAX).default([]),
  agents: z.array(agent).max(ENTRIES_MAX).default([]),
  certificates: z.array(certificate).max(CERTIFICATES_MAX).default([]),
  oauth: oauthsSchema.optional(),
});
type Auth = z.infer<typeof authShape>;

export const authSchema = authShape.superRefine((auth, context) => {
  const mistake = (path: (string | number)[], message?: string) =>
    context.addIssue({ code: "custom", path, ...(message === undefined ? {} : { message }) });
  if (auth.type === "oauth" && auth.oauth === undefined) mistake(["oauth"]);
  if (auth.type === "token" && auth.oauth !== undefined)
    mistake(["type"], 'has to be oauth, or be left out: with token, nothing would heed "oauth"');
  checkAgents(auth, mistake);
  for (const [i, entry] of auth.certificates.entries()) {
    const ways = [entry.sha256, entry.common_name, entry.alternative_name].filter((way) => way !== undefined);
    if (ways.length !== 1) mistake(["certificates", i], "needs one of sha256, common_name and alternative_name");
  }
});

/** Whoever stands for an agent is of its tenant and has its team and roles; a certificate without one is one itself. */
function checkAgents(auth: Auth, mistake: (path: (string | number)[], message: string) => void): void {
  const agents = new Set(auth.agents.map((each) => each.name));
  for (const list of ["tokens", "certificates"] as const)
    for (const [i, entry] of auth[list].entries()) {
      if (entry.agent === undefined) continue;
      if (!agents.has(entry.agent))
        mistake([list, i, "agent"], "is not the name of an agent in control_plane.auth.agents");
      for (const key of ["tenant", "team", "roles"] as const)
        if (entry[key] !== undefined) mistake([list, i, key], "does not go with agent: it is the agent's");
    }
  for (const [i, entry] of auth.certificates.entries())
    if (entry.agent === undefined && agents.has(entry.name))
      mistake(["certificates", i, "name"], "is the name of an agent already; if that one is meant, give it as agent");
}

export const AUTH_KEYS: Readonly<Record<string, readonly string[]>> = {
  "control_plane.auth": Object.keys(authShape.shape),
  "control_plane.auth.tokens": Object.keys(token.shape),
  "control_plane.auth.agents": Object.keys(agent.shape),
  "control_plane.auth.certificates": Object.keys(certificate.shape),
  ...OAUTH_KEYS,
};

/** A service account: several tokens and certificates may stand for it. */
export interface DesiredAgent {
  readonly name: string;
  readonly tenant: string;
  readonly team: string;
  readonly roles: readonly string[];
}

/** Which client certificate stands for which agent. One of the first three is there. */
export interface DesiredCertificate {
  readonly name: string;
  /** Of the DER form: 64 hexadecimal digits in lower case. */
  readonly sha256?: string;
  readonly commonName?: string;
  /** Such as `URI:spiffe://acme/bot`. */
  readonly alternativeName?: string;
  readonly agent: string;
  readonly tenant: string;
  readonly permissions: readonly string[];
}

export function toAuth(auth: Auth): Pick<DesiredControlPlane, "tokens" | "agents" | "certificates" | "oauth"> {
  const listed = new Map(auth.agents.map((each) => [each.name, each]));
  const agents: DesiredAgent[] = [...auth.agents];
  for (const { name: own, agent: other, tenant = DEFAULT, team = DEFAULT, roles: given = [] } of auth.certificates)
    if (other === undefined) agents.push({ name: own, tenant, team, roles: given });
  return {
    tokens: auth.tokens.map(({ expires_at, agent: standsFor, tenant, team, roles: given, ...rest }) => {
      const whose = standsFor === undefined ? undefined : listed.get(standsFor);
      return {
        ...rest,
        tenant: whose?.tenant ?? tenant ?? DEFAULT,
        team: whose?.team ?? team ?? DEFAULT,
        roles: whose?.roles ?? given ?? [],
        ...(standsFor === undefined ? {} : { agent: standsFor }),
        ...(expires_at === undefined ? {} : { expiresAtMs: Date.parse(expires_at) }),
      };
    }),
    agents,
    certificates: auth.certificates.map((each) => toCertificate(each, listed)),
    oauth: (auth.oauth ?? []).map((each) => toOauth(each)),
  };
}

function toCertificate(
  entry: Auth["certificates"][number],
  listed: ReadonlyMap<string, DesiredAgent>,
): DesiredCertificate {
  const { sha256, common_name: commonName, alternative_name: alternativeName } = entry;
  return {
    name: entry.name,
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(commonName === undefined ? {} : { commonName }),
    ...(alternativeName === undefined ? {} : { alternativeName }),
    agent: entry.agent ?? entry.name,
    tenant: (entry.agent === undefined ? entry.tenant : listed.get(entry.agent)?.tenant) ?? DEFAULT,
    permissions: entry.permissions,
  };
}
