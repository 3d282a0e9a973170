import { registryV1 } from "@tollgate/contracts";

type Snapshot = registryV1.WatchCatalogueResponse;
type Server = registryV1.Server;

/**
 * `next` with the very servers of `before` where nothing about them is another, so that whoever compares the two sees at
 * once which are. When a server was last reported is no difference: runners report again and again.
 */
export function keepSame(before: Snapshot, next: Snapshot): Snapshot {
  const known = new Map(before.servers.map((server) => [server.id, server]));
  const servers = next.servers.map((server) => {
    const same = known.get(server.id);
    return same !== undefined && isSame(same, server) ? same : server;
  });
  return { ...next, servers };
}

function isSame(a: Server, b: Server): boolean {
  return (
    a.tools === b.tools &&
    a.withheldTools === b.withheldTools &&
    a.prompts === b.prompts &&
    a.resources === b.resources &&
    a.resourceTemplates === b.resourceTemplates &&
    encoded(a).equals(encoded(b))
  );
}

/** All that is no item. */
function encoded(server: Server): Buffer {
  const items = { tools: [], withheldTools: [], prompts: [], resources: [], resourceTemplates: [] };
  return Buffer.from(registryV1.Server.encode({ ...server, ...items, reportedAtMs: 0n }).finish());
}

/** What has to be said to whoever has `before`, for it to have `next`. */
export function deltaBetween(before: Snapshot, next: Snapshot): Snapshot {
  const known = new Set(before.servers);
  const servers = next.servers.filter((server) => !known.has(server));
  return { ...next, servers, delta: true, serverIds: next.servers.map(({ id }) => id) };
}
