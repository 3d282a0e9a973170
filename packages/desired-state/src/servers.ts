import { dirname, isAbsolute, resolve } from "node:path";
import type { Mistake, Path } from "./document.ts";
import type { EntryKey } from "./entries.ts";
import { hideSecretsOf } from "./hidden.ts";
import { normaliseLaunch } from "./launch.ts";
import { type Filled, secretsNamed } from "./placeholders.ts";
import { secretsIn } from "./server-secrets.ts";
import { normaliseConnection } from "./remote.ts";
import type { ParsedFile } from "./schema.ts";
import { toLimits, toPool, toSandbox, toToolRules } from "./server-run.ts";
import { CLIENT_CAPABILITIES, type DesiredServer } from "./state.ts";
import { findLooserPolicy, toToolPolicy } from "./tool-changes.ts";

/** Their command is a file in a folder. */
const SCRIPT_TYPES: ReadonlySet<string> = new Set(["node", "python", "uv"]);

type Entry = ParsedFile["mcp_servers"][number];
/** How a server is reached: the keys that depend on its type, and what is unwise about them. */
type Way = Pick<DesiredServer, "command" | "args" | "workingDir" | "url" | "transport"> & {
  readonly warning?: { readonly key: string; readonly message: string };
};

/**
 * The servers of a file whose values each have the right form, and whose keys go with their types. What is wrong or
 * unwise all the same is added to `mistakes` and `warnings`.
 */
export function toServers(
  entries: readonly Entry[],
  options: {
    file: string;
    tools: ParsedFile["tools"];
    written: readonly Record<string, unknown>[];
    filled: readonly Filled[];
    isOfApi: (entry: EntryKey) => boolean;
    mistakes: Mistake[];
    warnings: Mistake[];
  },
): DesiredServer[] {
  const { file, tools, written, filled, mistakes, warnings } = options;
  return entries.flatMap((entry, index) => {
    const path = ["mcp_servers", index];
    const way = entry.type === "remote" ? toConnection(entry) : toLaunch(entry, file);
    if ("mistake" in way) {
      mistakes.push({ path: [...path, way.key], message: way.mistake });
      return [];
    }
    if (options.isOfApi({ kind: "server", id: entry.id })) {
      mistakes.push(...relativePlaces(entry, way).map((place) => ({ path: [...path, ...place], message: RELATIVE })));
      mistakes.push(...findLooserPolicy(entry, tools, path));
    }
    const { warning, ...reached } = way;
    if (warning !== undefined) warnings.push({ path: [...path, warning.key], message: warning.message });
    const secrets = secretsIn(filled.filter((each) => each.path[1] === index));
    return [toServer(entry, { file, tools, way: reached, written: written[index]!, secrets })];
  });
}

const RELATIVE = "has to be absolute: there is no folder where it could start";

/** What would start at the file's folder. */
function relativePlaces(entry: Entry, { workingDir }: Way): Path[] {
  const { working_dir, requirements, sandbox } = entry;
  const given: [Path, string | undefined][] = [
    [["working_dir"], working_dir],
    [["requirements"], requirements],
    ...sandbox.read.map((path, at): [Path, string] => [["sandbox", "read", at], path]),
    ...sandbox.write.map((path, at): [Path, string] => [["sandbox", "write", at], path]),
  ];
  const relative = given.filter(([, path]) => !isAbsolute(path ?? "/")).map(([place]) => place);
  return working_dir === undefined && workingDir !== undefined ? [["command"], ...relative] : relative;
}

function toServer(
  entry: Entry,
  options: {
    file: string;
    tools: ParsedFile["tools"];
    way: Omit<Way, "warning">;
    written: Record<string, unknown>;
    secrets: ReturnType<typeof secretsIn>;
  },
): DesiredServer {
  const { file, tools, way, written, secrets } = options;
  return {
    id: entry.id,
    name: entry.name ?? entry.id,
    group: entry.group,
    type: entry.type,
    ...way,
    env: entry.env,
    headers: entry.headers,
    startupTimeoutMs: Math.round(entry.startup_timeout * 1_000),
    requirements: entry.requirements === undefined ? "" : resolve(dirname(resolve(file)), entry.requirements),
    healthCheckIntervalMs: Math.round(entry.health_check_interval * 1_000),
    pool: toPool(entry.pool, { remote: entry.type === "remote" }),
    limits: toLimits(entry.limits),
    sandbox: toSandbox(entry.sandbox, file),
    toolRules: toToolRules(entry.tools),
    toolPolicy: toToolPolicy(entry, tools),
    // One order, whatever the file's: it is part of what a server's spec is compared by.
    clientCapabilities: CLIENT_CAPABILITIES.filter((each) => entry.client_capabilities.includes(each)),
    sessionContext: entry.session_context,
    environment: entry.environment ?? "",
    risk: entry.risk,
    enabled: entry.enabled,
    ...secrets,
    secretNames: secretsNamed(JSON.stringify(written)).toSorted(),
    written: hideSecretsOf("server", written).shown,
  };
}

function toLaunch(entry: Entry, file: string): Way | { readonly key: string; readonly mistake: string } {
  const launch = normaliseLaunch(entry.type, entry.command ?? "", entry.args);
  if ("mistake" in launch) return launch;
  const { command, args } = launch;
  if (entry.type === "container" && !isAbsolute(entry.working_dir ?? "/"))
    return { key: "working_dir", mistake: "is a folder in the container, so it has to be absolute" };
  const folder = dirname(resolve(file));
  // A relative program or script means something only in a folder: then it is the file's own.
  const isRelative = !isAbsolute(command) && (SCRIPT_TYPES.has(entry.type) || /^\.{1,2}\//.test(command));
  const workingDir =
    entry.working_dir === undefined ? (isRelative ? folder : undefined) : resolve(folder, entry.working_dir);
  const example = entry.type === "container" ? "name:1.2.3 or name@sha256:…" : "name@1.2.3";
  const message = `names no exact version: what runs may change overnight; pin it, for example ${example}`;
  return {
    command,
    args,
    ...(workingDir === undefined ? {} : { workingDir }),
    url: "",
    transport: "",
    ...(launch.unpinned ? { warning: { key: "command", message } } : {}),
  };
}

function toConnection(entry: Entry): Way | { readonly key: string; readonly mistake: string } {
  const connection = normaliseConnection(entry.url ?? "", entry.transport, entry.headers);
  if ("mistake" in connection) return connection;
  const { url, transport } = connection;
  const message = "is not encrypted: whoever is on the way can read the headers; use https:// or wss://";
  return {
    command: "",
    args: [],
    url,
    transport,
    ...(connection.exposed ? { warning: { key: "url", message } } : {}),
  };
}
