// style.md, rule 1: main → service → handlers → domain; handlers → store, clients, upstream; store → domain's types.
import type { Finding } from "../finding.ts";
import { resolveRelative, type SourceFile, type Tree } from "../tree.ts";

/**
 * The rooms of a service; pool, containment and launch are a runner's: which process gets a call, what holds it, how it
 * is started. A file in src/ that is neither main, service nor config is a part that several rooms share
 * (its metrics, its readiness): "shared".
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  main: ["service", "config"],
  service: ["config", "shared", "handlers", "domain", "store", "clients", "upstream", "launch", "containment", "pool"],
  handlers: ["handlers", "config", "shared", "domain", "store", "clients", "upstream", "launch", "containment", "pool"],
  shared: ["shared", "config", "domain", "store", "clients", "upstream"],
  clients: ["clients", "config", "shared", "domain"],
  pool: ["pool", "upstream", "launch", "containment", "config", "shared", "domain"],
  upstream: ["upstream", "config", "shared", "domain", "launch", "containment"],
  containment: ["containment", "launch", "config", "shared", "domain"],
  launch: ["launch", "config", "shared", "domain"],
  store: ["store"],
  domain: ["domain"],
  config: ["config"],
};

/** What a room may take from another as a type only. */
const MAY_IMPORT_TYPES: Readonly<Record<string, readonly string[]>> = {
  store: ["domain"],
  config: ["domain"],
};

export function* checkDirection(tree: Tree): Generator<Finding> {
  for (const source of tree.sources.values()) {
    yield* servicesImported(tree, source);
    if (source.workspace.kind === "service" && !source.isTest) yield* wrongWays(source);
  }
}

function* servicesImported(tree: Tree, source: SourceFile): Generator<Finding> {
  const services = tree.workspaces.filter(({ kind }) => kind === "service");
  for (const { specifier, line } of source.imports) {
    const service = services.find(({ name }) => specifier === name || specifier.startsWith(`${name}/`));
    if (service === undefined || service === source.workspace) continue;
    const message = `imports the service ${service.name}; services are never imported: meet it in proto/ or on a subject`;
    yield { rule: "service-import", file: source.path, line, message };
  }
}

function* wrongWays(source: SourceFile): Generator<Finding> {
  const room = roomOf(source.workspace.dir, source.path);
  if (room === undefined) return;
  const allowed = MAY_IMPORT[room];
  if (allowed === undefined) {
    const message = `src/${room}/ is no room of a service; use ${Object.keys(MAY_IMPORT).join(", ")}`;
    yield { rule: "direction", file: source.path, line: 1, message };
    return;
  }
  for (const { specifier, line, typeOnly } of source.imports) {
    if (!specifier.startsWith(".")) continue;
    const target = roomOf(source.workspace.dir, resolveRelative(source.path, specifier));
    if (target === undefined || allowed.includes(target)) continue;
    const asType = MAY_IMPORT_TYPES[room]?.includes(target) ?? false;
    if (asType && typeOnly) continue;
    const message = asType
      ? `${room} takes only types from ${target}: use \`import type\`, or let a handler call ${target}`
      : `${room} imports ${target}, against the direction main → service → handlers → domain; pass it in as a parameter`;
    yield { rule: "direction", file: source.path, line, message };
  }
}

function roomOf(serviceDir: string, path: string): string | undefined {
  const prefix = `${serviceDir}/src/`;
  if (!path.startsWith(prefix)) return undefined;
  const [first = "", ...rest] = path.slice(prefix.length).split("/");
  if (rest.length > 0) return first;
  const name = first.replace(/\.ts$/, "");
  return ["main", "service", "config"].includes(name) ? name : "shared";
}
