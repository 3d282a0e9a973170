import type { registryV1 } from "@tollgate/contracts";
import { findMembers, prefixedName, splice, splitName } from "@tollgate/mcp";

export interface Tool {
  readonly group: string;
  readonly server: string;
  /** As the server names it. */
  readonly name: string;
  readonly retrySafe: boolean;
  /** The server's own JSON of the tool. */
  readonly definition: string;
  /** The same with the name that clients see where several servers are behind one route. */
  readonly prefixed: string;
}

export interface Server {
  readonly info: registryV1.Server;
  readonly tools: ReadonlyMap<string, Tool>;
}

/** What a route reaches: everything, one group, or one server. */
export interface Scope {
  readonly group: string | undefined;
  readonly server: string | undefined;
}

/** One snapshot of the registry, arranged for looking things up. Replaced as a whole at each change. */
export interface Catalogue {
  readonly revision: bigint;
  readonly groups: readonly registryV1.Group[];
  readonly servers: ReadonlyMap<string, Server>;
}

export const EMPTY_CATALOGUE: Catalogue = { revision: -1n, groups: [], servers: new Map() };

export function toCatalogue(snapshot: registryV1.WatchCatalogueResponse): Catalogue {
  const servers = new Map<string, Server>();
  for (const info of snapshot.servers) {
    const tools = new Map<string, Tool>();
    for (const { name, definition, retrySafe } of info.tools) {
      const prefixed = renameTool(definition, prefixedName(info.id, name));
      tools.set(name, { group: info.group, server: info.id, name, retrySafe, definition, prefixed });
    }
    servers.set(info.id, { info, tools });
  }
  return { revision: snapshot.revision, groups: snapshot.groups, servers };
}

function renameTool(definition: string, name: string): string {
  const span = findMembers(definition, 0, ["name"])?.spans["name"];
  return span ? splice(definition, [{ ...span, text: JSON.stringify(name) }]) : definition;
}

/** Why a route leads nowhere, naming what is not there; undefined when it leads somewhere. */
export function checkScope(catalogue: Catalogue, scope: Scope): string | undefined {
  if (scope.group === undefined) return undefined;
  if (!catalogue.groups.some((group) => group.id === scope.group)) return `there is no group "${scope.group}"`;
  if (scope.server === undefined) return undefined;
  if (catalogue.servers.get(scope.server)?.info.group === scope.group) return undefined;
  return `there is no server "${scope.server}" in group "${scope.group}"`;
}

export function serversIn(catalogue: Catalogue, scope: Scope): Server[] {
  const servers: Server[] = [];
  for (const server of catalogue.servers.values()) {
    if (!server.info.enabled) continue;
    if (scope.group !== undefined && server.info.group !== scope.group) continue;
    if (scope.server !== undefined && server.info.id !== scope.server) continue;
    servers.push(server);
  }
  return servers;
}

/** The tool that a client's name means on a route. */
export function findTool(catalogue: Catalogue, scope: Scope, name: string): { server: Server; tool: Tool } | undefined {
  const split = scope.server === undefined ? splitName(name) : { server: scope.server, own: name };
  const server = split && catalogue.servers.get(split.server);
  if (!server?.info.enabled || (scope.group !== undefined && server.info.group !== scope.group)) return undefined;
  const tool = server.tools.get(split!.own);
  return tool && { server, tool };
}
