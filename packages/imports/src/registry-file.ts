import type { ImportedServer } from "./entries.ts";
import { type Fields, fieldsAt, isFields, objectsAt, textAt } from "./fields.ts";
import { isSecret } from "./plain-secrets.ts";
import type { Findings } from "./secrets.ts";
import { connectedServer, type Heading, launchedServer } from "./server-entry.ts";

// server.json of the official MCP registry (2025-07-09 to 2025-12-11), and the answer of its API to /v0/servers.

const SERVERS_MAX = 1_000;
const DEPTH_MAX = 16;
const OFFICIAL = "io.modelcontextprotocol.registry/official";
/** What is taken where a server comes in several ways, best first. */
const KINDS = ["npm", "oci", "pypi", "nuget"] as const;

/** Undefined where the document is none of a registry. */
export function registryServers(document: unknown): Fields[] | undefined {
  if (!isFields(document)) return undefined;
  const listed = Array.isArray(document["servers"]) ? objectsAt(document, "servers") : undefined;
  const found = (listed ?? [document]).map((each) => {
    const server = isFields(each["server"]) ? { ...each, ...each["server"] } : each;
    return camelCased({ ...server, _meta: { ...fieldsAt(each, "_meta"), ...fieldsAt(server, "_meta") } }) as Fields;
  });
  const isServer = (each: Fields) => Array.isArray(each["packages"]) || Array.isArray(each["remotes"]);
  return listed !== undefined || found.some(isServer) ? found : undefined;
}

/** The first revisions wrote keys in snake_case. Names of variables are values, or keys of `variables`. */
function camelCased(value: unknown, depth = 0, isNamed = false): unknown {
  // No server.json has anything there.
  if (depth > DEPTH_MAX) return undefined;
  if (Array.isArray(value)) return value.map((each) => camelCased(each, depth + 1));
  if (!isFields(value)) return value;
  const entries = Object.entries(value).map(([key, each]) => {
    const name =
      isNamed || key.startsWith("_") ? key : key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    return [name, name === "_meta" ? each : camelCased(each, depth + 1, name === "variables")];
  });
  return Object.fromEntries(entries);
}

export function importRegistry(
  servers: readonly Fields[],
  options: { group: string; idOf: (name: string) => string; findings: Findings },
): ImportedServer[] {
  const { group, idOf, findings } = options;
  const current = servers.filter((each) => {
    const official = fieldsAt(fieldsAt(each, "_meta"), OFFICIAL);
    const status = textAt(each, "status") ?? textAt(official, "status");
    return status !== "deleted" && official["isLatest"] !== false;
  });
  if (current.length > SERVERS_MAX) findings.warn(`only the first ${SERVERS_MAX} servers are taken`);
  return current.slice(0, SERVERS_MAX).flatMap((fields) => {
    const name = textAt(fields, "name") ?? "";
    // io.github.acme/weather: what stands behind the slash is the server's own name.
    const id = idOf(name.split("/").at(-1) ?? "");
    if (textAt(fields, "status") === "deprecated") findings.warn(`${id}: its author calls it deprecated`);
    const title = textAt(fields, "title") ?? name;
    return toServer({ id, name: title, group }, fields, findings) ?? [];
  });
}

function toServer(heading: Heading, fields: Fields, findings: Findings): ImportedServer | undefined {
  const { id } = heading;
  const packages = objectsAt(fields, "packages");
  const remotes = objectsAt(fields, "remotes");
  const usable = packages.filter((each) => isStdio(each) && KINDS.some((kind) => kind === kindOf(each)));
  const [best, ...others] = usable.toSorted((one, other) => rank(one) - rank(other));
  for (const each of packages.filter((one) => !usable.includes(one)))
    findings.warn(`${id}: the package of kind ${kindOf(each) || "unknown"} cannot be run here`);
  const ways = [...others.map((each) => kindOf(each)), ...remotes.slice(best ? 0 : 1).map(() => "remote")];
  if ((best !== undefined || remotes.length > 0) && ways.length > 0)
    findings.warn(`${id}: it also comes as ${[...new Set(ways)].join(", ")}`);
  if (best !== undefined) return fromPackage(heading, best, { version: versionOf(fields), findings });
  const [remote] = remotes;
  if (remote !== undefined) return fromRemote(heading, remote, findings);
  findings.warn(`${id}: is left out: it has no package or remote server that could be used`);
  return undefined;
}

function kindOf(fields: Fields): string {
  const kind = textAt(fields, "registryType") ?? textAt(fields, "registryName") ?? "";
  return kind === "docker" ? "oci" : kind;
}

function rank(fields: Fields): number {
  return KINDS.findIndex((kind) => kind === kindOf(fields));
}

function isStdio(fields: Fields): boolean {
  return (textAt(fieldsAt(fields, "transport"), "type") ?? "stdio") === "stdio";
}

function versionOf(fields: Fields): string | undefined {
  return textAt(fields, "version") ?? textAt(fieldsAt(fields, "versionDetail"), "version");
}

function fromPackage(
  heading: Heading,
  fields: Fields,
  { version: ofServer, findings }: { version: string | undefined; findings: Findings },
): ImportedServer | undefined {
  const { id } = heading;
  const name = textAt(fields, "identifier") ?? textAt(fields, "name") ?? "";
  const version = textAt(fields, "version") ?? ofServer;
  const pinned = version === undefined ? name : `${name}@${version}`;
  const runtime = argumentsOf(id, objectsAt(fields, "runtimeArguments"), findings);
  const args = argumentsOf(id, objectsAt(fields, "packageArguments"), findings);
  const env = variablesOf(id, objectsAt(fields, "environmentVariables"), findings);
  const start = (command: string, words: string[]) => launchedServer(heading, { command, args: words, env }, findings);
  switch (kindOf(fields)) {
    case "npm":
      if (runtime.some((word) => word !== "-y" && word !== "--yes"))
        findings.warn(`${id}: arguments of npx itself are left out`);
      return start("npx", ["-y", pinned, ...args]);
    case "oci":
      return start("docker", [
        "run",
        ...runtime,
        ...Object.keys(env).map((each) => `--env=${each}`),
        imageOf(fields, name, version),
        ...args,
      ]);
    case "pypi":
      return start("uvx", [...runtime, pinned, ...args]);
    default:
      findings.warn(`${id}: dnx of .NET 10 has to be on the runner's PATH`);
      return start("dnx", [...runtime, pinned, "--yes", ...(args.length === 0 ? [] : ["--", ...args])]);
  }
}

/** Later revisions have the tag in the identifier, earlier ones beside it. */
function imageOf(fields: Fields, name: string, version: string | undefined): string {
  const host = textAt(fields, "registryBaseUrl") ?? "";
  const hasHost = /^[^/]*[.:][^/]*\//.test(name) || host === "";
  const image = hasHost ? name : `${host.replace(/^https?:\/\//, "").replace(/\/+$/, "")}/${name}`;
  const isTagged = /@sha256:|:[^/]+$/.test(name);
  return isTagged || version === undefined ? image : `${image}:${version}`;
}

function fromRemote(heading: Heading, fields: Fields, findings: Findings): ImportedServer | undefined {
  const { id } = heading;
  const url = filled(id, textAt(fields, "url") ?? "", fieldsAt(fields, "variables"), findings);
  const headers = variablesOf(id, objectsAt(fields, "headers"), findings);
  const type = textAt(fields, "type") ?? textAt(fields, "transportType");
  const transport = type === "sse" || type === "streamable-http" ? type : undefined;
  return connectedServer(heading, { url, headers, transport }, findings);
}

function argumentsOf(id: string, given: readonly Fields[], findings: Findings): string[] {
  return given.flatMap((each) => {
    const name = textAt(each, "name") ?? "";
    const isNamed = textAt(each, "type") === "named" || (textAt(each, "type") === undefined && name !== "");
    const what = name.replace(/^-+/, "") || textAt(each, "valueHint") || "argument";
    const value = valueOf(id, each, what, findings);
    if (isNamed && name !== "") return value === undefined ? (isFlag(each) ? [name] : []) : [name, value];
    return value === undefined ? [] : [value];
  });
}

/** One that stands alone: nothing says that it has a value. */
function isFlag(fields: Fields): boolean {
  return !["value", "default", "valueHint", "format", "choices", "placeholder", "description"].some(
    (key) => key in fields,
  );
}

function variablesOf(id: string, given: readonly Fields[], findings: Findings): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const each of given) {
    const name = textAt(each, "name") ?? "";
    const value = name === "" ? undefined : valueOf(id, each, name, findings);
    if (value !== undefined) variables[name] = value;
  }
  return variables;
}

/**
 * The value of an input; undefined where it may be left out. What somebody has to give is `${input:NAME}`, as in VS Code's
 * files, and so becomes a secret that has to be set.
 */
function valueOf(id: string, input: Fields, what: string, findings: Findings): string | undefined {
  const value = textAt(input, "value");
  if (value !== undefined) return filled(id, value, fieldsAt(input, "variables"), findings);
  const usual = textAt(input, "default");
  const isHidden = input["isSecret"] === true || (usual !== undefined && isSecret(what, usual));
  if (usual !== undefined && !isHidden) return usual;
  if (input["isRequired"] !== true) return undefined;
  const choices = Array.isArray(input["choices"]) ? input["choices"].map(String).join(", ") : "";
  if (choices !== "") findings.warn(`${id}: ${what} has to be one of ${choices}`);
  return `\${input:${what.replaceAll(/[{}:]/g, "_")}}`;
}

/** `{name}` stands for a variable; one that is not declared stays as it is. */
function filled(id: string, text: string, variables: Fields, findings: Findings): string {
  return text.replaceAll(/\{([^{}]*)\}/g, (whole, name: string) => {
    const variable = variables[name];
    if (!isFields(variable)) return whole;
    return valueOf(id, { isRequired: true, ...variable, variables: {} }, name, findings) ?? "";
  });
}
