import type { Mistake } from "./document.ts";
import { publicUrlSchema } from "./oauth.ts";
import type { DesiredPolicy } from "./policies.ts";
import type { DesiredControlPlane, DesiredState, DesiredToken } from "./state.ts";

interface InstallationToken {
  readonly variable: string;
  readonly name: string;
  readonly permissions: readonly string[];
}

/** The tokens that an installation makes for its owner, known by the variables that hold their secrets. */
const INSTALLATION_TOKENS: readonly InstallationToken[] = [
  { variable: "TOLLGATE_TOKEN", name: "default-user", permissions: ["mcp"] },
  { variable: "TOLLGATE_ADMIN_TOKEN", name: "default-admin", permissions: ["mcp", "admin"] },
];
/** The policy that a file without policies gets. */
export const DEFAULT_ALLOW_POLICY = "default-allow";

/**
 * Lets a file work from the first day that lists servers only. It may leave the gateway's address to the installation. The installation's own tokens are known even where the
 * file does not list them; a token of the file with the same secret takes the place of one, to give it another name, team or
 * roles. And where the file has no `policies` at all, these tokens, but no others, may use everything.
 */
export function withInstallation(
  state: Pick<DesiredState, "controlPlane" | "policies">,
  options: {
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly hasPolicies: boolean;
    readonly mistakes: Mistake[];
  },
): Pick<DesiredState, "controlPlane" | "policies"> {
  const listed = state.controlPlane.tokens;
  const added: DesiredToken[] = [];
  const names: string[] = [];
  for (const { variable, name, permissions } of INSTALLATION_TOKENS) {
    const secret = options.env[variable];
    if (secret === undefined || secret === "") continue;
    const same = listed.find(({ token }) => token === secret);
    names.push(same?.name ?? name);
    if (same !== undefined) continue;
    const taken = listed.findIndex((token) => token.name === name);
    if (taken >= 0) {
      options.mistakes.push({
        path: ["control_plane", "auth", "tokens", taken, "name"],
        message: `is the name of this installation's own token; choose another, or give it the token \${${variable}}`,
      });
    }
    added.push({ name, token: secret, tenant: "default", team: "default", roles: [], permissions });
  }
  const generated: DesiredPolicy[] = options.hasPolicies || names.length === 0 ? [] : [allowEverything(names)];
  return {
    controlPlane: {
      ...state.controlPlane,
      publicUrl: state.controlPlane.publicUrl ?? publicUrlFrom(options),
      tokens: [...listed, ...added],
    },
    policies: [...state.policies, ...generated],
  };
}

function publicUrlFrom({ env, mistakes }: { env: Readonly<Record<string, string | undefined>>; mistakes: Mistake[] }) {
  const given = env["TOLLGATE_PUBLIC_URL"];
  if (given === undefined || given === "") return undefined;
  const parsed = publicUrlSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  const message = `is TOLLGATE_PUBLIC_URL of the environment, which ${parsed.error.issues[0]!.message}`;
  mistakes.push({ path: ["control_plane", "public_url"], message });
  return undefined;
}

function allowEverything(names: readonly string[]): DesiredPolicy {
  const principals = names.map((name) => `token:${name}`);
  const everything = { tenant: "", actions: ["*"], resources: ["*"], conditions: {}, record: [], cedarText: "" };
  const description = "The installation's own tokens may use everything, where the file has no policies.";
  return { name: DEFAULT_ALLOW_POLICY, description, effect: "allow", principals, ...everything };
}

/** Under which URL clients reach the gateway: the public one, or else the one where it listens. */
export function publicUrlOf({
  publicUrl,
  ssl,
  host,
  port,
}: Pick<DesiredControlPlane, "publicUrl" | "ssl" | "host" | "port">): string {
  return publicUrl ?? `${ssl === undefined ? "http" : "https"}://${reachable(host)}:${port}`;
}

/** Addresses that stand for all of a machine's are reached at its own. */
function reachable(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "127.0.0.1";
  return host.includes(":") ? `[${host}]` : host;
}
