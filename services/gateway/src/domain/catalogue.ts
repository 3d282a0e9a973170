import { type registryV1, type Risk, RISKS } from "@tollgate/contracts";
import {
  changeStrings,
  findParamHeaders,
  type ParamHeader,
  parseJson,
  type Path,
  prefixedName,
  prefixedUri,
  splice,
} from "@tollgate/mcp";
import { type ToolSet, type ToolSets, toToolSets } from "./tool-sets.ts";

export type Kind = "tool" | "prompt" | "resource" | "template";

/** Something that a server offers. */
export interface Item {
  readonly kind: Kind;
  readonly group: string;
  readonly server: string;
  readonly sandboxed: boolean;
  readonly environment: string;
  readonly risk: Risk;
  /** As the server has it: the name of a tool or prompt, a resource's uri, a template's uriTemplate. */
  readonly name: string;
  readonly retrySafe: boolean;
  /** The server's own JSON of it. */
  readonly definition: string;
  /** The same as clients see it where several servers are behind one route. */
  readonly prefixed: string;
  /** Arguments of a tool that modern clients repeat in headers. */
  readonly paramHeaders: readonly ParamHeader[];
  /** What the installation declares of a tool. */
  readonly rule?: registryV1.ToolRule | undefined;
  /** Of a tool: the version of its definition, and what is known of that. */
  readonly tool?: registryV1.Tool | undefined;
  /** Why its risk is more than what is declared; empty where it is not. */
  readonly riskReason: string;
}

export interface Server {
  readonly info: registryV1.Server;
  /** Its processes are kept apart from the machine, as far as is known: not before a runner has said so. */
  readonly sandboxed: boolean;
  /** Of what says nothing else. */
  readonly risk: Risk;
  /** What it has declared in its own initialize or discover. */
  readonly capabilities: Readonly<Record<string, unknown>>;
  readonly items: Readonly<Record<Kind, ReadonlyMap<string, Item>>>;
  /** Tools that are offered to nobody. */
  readonly withheld: ReadonlyMap<string, Item>;
}

/** What a route reaches: everything, one group, one server, or a tool set. */
export interface Scope {
  readonly group: string | undefined;
  readonly server: string | undefined;
  /** A set's id, or `~` and a repository. Which set that is, and what is in it, is looked up at each use. */
  readonly set?: string;
}

/**
 * One snapshot of the registry, arranged for looking things up. Replaced as a whole at each change; servers about which
 * nothing has changed stay the same objects.
 */
export interface Catalogue {
  readonly revision: bigint;
  readonly groups: readonly registryV1.Group[];
  readonly servers: ReadonlyMap<string, Server>;
  readonly toolSets: ToolSets;
}

export const EMPTY_CATALOGUE: Catalogue = { revision: -1n, groups: [], servers: new Map(), toolSets: toToolSets([]) };

/**
 * @param before what a message with changes only is about
 * @throws {Error} when that is not what the message is about
 */
export function toCatalogue(message: registryV1.WatchCatalogueResponse, before = EMPTY_CATALOGUE): Catalogue {
  const { revision, groups, delta, serverIds } = message;
  const changed = new Map(message.servers.map((info) => [info.id, toServer(info)]));
  const servers = new Map<string, Server>();
  for (const id of delta ? serverIds : changed.keys()) {
    const server = changed.get(id) ?? before.servers.get(id);
    if (server === undefined) throw new Error(`the registry's change of the catalogue leaves out server "${id}"`);
    servers.set(id, server);
  }
  return { revision, groups, servers, toolSets: toToolSets(message.toolSets) };
}

const SANDBOXES: ReadonlySet<string> = new Set(["bubblewrap", "container"]);

function toServer(info: registryV1.Server): Server {
  const of = (kind: Kind, items: readonly registryV1.Item[]) =>
    new Map(items.map(({ key, definition }) => [key, toItem({ info, kind, name: key, definition, retrySafe: true })]));
  const rules = new Map(info.toolRules.map((rule) => [rule.tool, rule]));
  const toolsOf = (tools: readonly registryV1.Tool[]) =>
    new Map(
      tools.map((tool) => [tool.name, toItem({ info, kind: "tool", ...tool, rule: rules.get(tool.name), tool })]),
    );
  return {
    info,
    sandboxed: SANDBOXES.has(info.isolation),
    risk: riskOf(info.risk, "LOW"),
    capabilities: parseObject(info.capabilities),
    items: {
      tool: toolsOf(info.tools),
      prompt: of("prompt", info.prompts),
      resource: of("resource", info.resources),
      template: of("template", info.resourceTemplates),
    },
    withheld: toolsOf(info.withheldTools),
  };
}

/** The members of a definition that hold the server's own names or uris. */
const OWN_NAMES: Readonly<Record<Kind, { names: readonly Path[]; uris: readonly Path[] }>> = {
  tool: {
    names: [["name"]],
    uris: [
      ["_meta", "ui", "resourceUri"],
      ["_meta", "ui/resourceUri"],
    ],
  },
  prompt: { names: [["name"]], uris: [] },
  resource: { names: [], uris: [["uri"]] },
  template: { names: [], uris: [["uriTemplate"]] },
};

function toItem(options: {
  info: registryV1.Server;
  kind: Kind;
  name: string;
  definition: string;
  retrySafe: boolean;
  rule?: registryV1.ToolRule | undefined;
  tool?: registryV1.Tool;
}): Item {
  const { info, kind, name, definition, retrySafe, rule, tool } = options;
  const { names, uris } = OWN_NAMES[kind];
  const prefixed = splice(definition, [
    ...changeStrings(definition, names, (own) => prefixedName(info.id, own)),
    ...changeStrings(definition, uris, (own) => prefixedUri(info.id, own)),
  ]);
  const paramHeaders = kind === "tool" ? findParamHeaders(definition) : [];
  const sandboxed = SANDBOXES.has(info.isolation);
  const { group, id: server, environment } = info;
  const declared = riskOf(rule?.risk, riskOf(info.risk, "LOW"));
  const about = { kind, group, server, sandboxed, environment, ...raised(declared, tool), name, retrySafe };
  return { ...about, definition, prefixed, paramHeaders, rule, tool };
}

/** What could mislead in a definition that nobody has approved asks for a risk of its own. */
function raised(declared: Risk, tool: registryV1.Tool | undefined): Pick<Item, "risk" | "riskReason"> {
  const risk = riskOf(tool?.risk, "LOW");
  if (RISKS.indexOf(risk) <= RISKS.indexOf(declared)) return { risk: declared, riskReason: "" };
  const finding = tool?.findings.find((each) => each.risk === risk);
  return { risk, riskReason: finding === undefined ? "" : `in its ${finding.where}, ${finding.why}` };
}

function riskOf(given: string | undefined, other: Risk): Risk {
  return RISKS.find((each) => each === given) ?? other;
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  if (text === "") return {};
  const value: unknown = parseJson(text);
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

/** Why a route leads nowhere, naming what is not there; undefined when it leads somewhere. */
export function checkScope(catalogue: Catalogue, scope: Scope): string | undefined {
  if (scope.set !== undefined && catalogue.toolSets.find(scope.set) === "unknown") {
    const known = catalogue.toolSets.ids.join(", ") || "none";
    return `there is no tool set "${scope.set}"; there are: ${known}`;
  }
  if (scope.group === undefined) return undefined;
  if (!catalogue.groups.some((group) => group.id === scope.group)) return `there is no group "${scope.group}"`;
  if (scope.server === undefined) return undefined;
  if (catalogue.servers.get(scope.server)?.info.group === scope.group) return undefined;
  return `there is no server "${scope.server}" in group "${scope.group}"`;
}

/**
 * The same route by what it leads to now: many repositories have the same set, or none, and then it is that of
 * everything.
 */
export function resolveScope({ toolSets }: Catalogue, scope: Scope): Scope {
  if (scope.set === undefined) return scope;
  const found = toolSets.find(scope.set);
  if (found === "unknown") return scope;
  const { group, server } = scope;
  return found === "everything" ? { group, server } : { group, server, set: found.set.id };
}

/** Those of which the route reaches anything. */
export function serversIn(catalogue: Catalogue, scope: Scope): Server[] {
  const isInScope = reachOf(catalogue, scope);
  return [...catalogue.servers.values()].filter((server) => isInScope(server));
}

/** The server of this id, where it is enabled and the route reaches anything of it. */
export function serverIn(catalogue: Catalogue, scope: Scope, id: string): Server | undefined {
  const server = catalogue.servers.get(id);
  return server && reachOf(catalogue, scope)(server) ? server : undefined;
}

function reachOf(catalogue: Catalogue, scope: Scope): (server: Server) => boolean {
  const set = setOf(catalogue, scope);
  return ({ info }) => {
    if (!info.enabled || (scope.group !== undefined && info.group !== scope.group)) return false;
    if (scope.server !== undefined && info.id !== scope.server) return false;
    return set === undefined || set.hasSome({ group: info.group, server: info.id });
  };
}

/** Undefined: the route is of no set, and everything else says what it reaches. */
function setOf({ toolSets }: Catalogue, scope: Scope): ToolSet | undefined {
  if (scope.set === undefined) return undefined;
  const found = toolSets.find(scope.set);
  if (found === "everything") return undefined;
  // A set may have gone since its client came.
  return found === "unknown" ? NOTHING : found.set;
}

const NOTHING: ToolSet = { id: "", hasSome: () => false, hasWhole: () => false, hasTool: () => false };

/** Whether the route reaches what a server, which it reaches, has under this name. */
export function isReached(
  catalogue: Catalogue,
  scope: Scope,
  of: { kind: Kind; server: Server; name: string },
): boolean {
  const { kind, server, name } = of;
  const set = setOf(catalogue, scope);
  const owner = { group: server.info.group, server: server.info.id };
  return set === undefined || (kind === "tool" ? set.hasTool(owner, name) : set.hasWhole(owner));
}

/** All of a kind that the route reaches, of the servers given, in their order. */
export function itemsIn(catalogue: Catalogue, scope: Scope, of: { kind: Kind; servers: readonly Server[] }): Item[] {
  const { kind, servers } = of;
  const set = setOf(catalogue, scope);
  return servers.flatMap((server) => {
    const items = [...server.items[kind].values()];
    const owner = { group: server.info.group, server: server.info.id };
    if (set === undefined || set.hasWhole(owner)) return items;
    return kind === "tool" ? items.filter(({ name }) => set.hasTool(owner, name)) : [];
  });
}

/** Whether the route reaches all of a server. */
export function isWhole(catalogue: Catalogue, scope: Scope, { info }: Server): boolean {
  return setOf(catalogue, scope)?.hasWhole({ group: info.group, server: info.id }) ?? true;
}
