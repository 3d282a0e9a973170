import { type DesiredState, hideSecretsOf } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import { checkConfiguration, type ConfigurationFile } from "../configuration-file.ts";
import type { Row } from "../table.ts";
import { type Finding, ok, problem, some, warning } from "./finding.ts";

/** Names of settings whose values are secrets, as people name them. */
const SECRET_NAME = /token|secret|passw|credential|api_?key|private_?key|authorization|(^|_)(key|auth|pat)$/i;
const WITHOUT_PLACEHOLDER = /^(?!.*(?<!\$)\$\{)./s;

export interface CheckedFile {
  readonly findings: readonly Finding[];
  /** Absent where it has mistakes, or says too much with variables. */
  readonly desired?: DesiredState;
}

export async function checkFile(file: ConfigurationFile): Promise<CheckedFile> {
  let desired: DesiredState | undefined;
  try {
    desired = checkConfiguration(file);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const mistakes = error.details["mistakes"];
    const lines = Array.isArray(mistakes) ? mistakes.map(String) : [error.message];
    return { findings: lines.map((line) => problem(line, "nothing of the file is taken before it is mended")) };
  }
  const secrets = await plainSecrets(file);
  if (desired === undefined)
    return { findings: [ok(`${file.name} has no mistakes, as far as its variables are known here`), ...secrets] };
  const warnings = desired.warnings.map((line) => warning(line, "docs/configuration.md says more"));
  const findings = [...warnings, ...secrets, ...unwise(desired)];
  return { findings: findings.length === 0 ? [ok(`${file.name} has no mistakes`)] : findings, desired };
}

function unwise({ controlPlane, policies }: DesiredState): Finding[] {
  const everything = policies.filter(
    ({ effect, principals, actions, resources, conditions }) =>
      effect === "allow" &&
      [principals, actions, resources].every((list) => list.includes("*")) &&
      Object.keys(conditions).length === 0,
  );
  const endless = controlPlane.tokens.filter(({ expiresAtMs, name }) => expiresAtMs === undefined && !isOwn(name));
  const found: Finding[] = [];
  if (everything.length > 0)
    found.push(
      warning(
        `everybody may do everything, by the policy ${some(everything.map(({ name }) => name))}`,
        "name whom it is for, or what",
      ),
    );
  if (endless.length > 0)
    found.push(
      warning(
        `tokens that never expire: ${some(endless.map(({ name }) => name))}`,
        "give them expires_at, or make them with tollgate tokens create --expires",
      ),
    );
  return found;
}

/** Made by the installation, and kept where nobody else can read them. */
function isOwn(name: string): boolean {
  return name === "default-user" || name === "default-admin";
}

/** What looks like a secret and stands in the file as it is. */
async function plainSecrets({ name, text }: ConfigurationFile): Promise<Finding[]> {
  const { LineCounter, isNode, parseDocument } = await import("yaml");
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  return secretPaths(document.toJS({ maxAliasCount: 100 }) as Row).map((path) => {
    const node = document.getIn(path, true);
    const { line, col } = lines.linePos(isNode(node) && node.range ? node.range[0] : 0);
    const place = path
      .map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`))
      .join("")
      .slice(1);
    return warning(
      `${name}:${line}:${col}: ${place} stands there in plain text`,
      "write ${secret:NAME}, and keep the value with tollgate secrets set NAME; or ${NAME} of the environment",
    );
  });
}

type Path = readonly (string | number)[];

function secretPaths(written: Row): Path[] {
  const servers = listIn(written, "mcp_servers").flatMap((server, at) =>
    hiddenOf("server", server).map((path) => ["mcp_servers", at, ...path]),
  );
  const auth = ((written["control_plane"] as Row | undefined)?.["auth"] ?? {}) as Row;
  const tokens = listIn(auth, "tokens").flatMap(({ token }, at) =>
    typeof token === "string" && WITHOUT_PLACEHOLDER.test(token)
      ? [["control_plane", "auth", "tokens", at, "token"]]
      : [],
  );
  return [...tokens, ...servers];
}

function hiddenOf(kind: "server", entry: Row): Path[] {
  const paths = Object.keys(hideSecretsOf(kind, entry).hidden).map((path) => JSON.parse(path) as Path);
  return paths.filter((path) => SECRET_NAME.test(String(path.at(-1))));
}

function listIn(of: Row, key: string): Row[] {
  const list = of[key];
  return Array.isArray(list) ? (list.filter((each) => typeof each === "object" && each !== null) as Row[]) : [];
}
