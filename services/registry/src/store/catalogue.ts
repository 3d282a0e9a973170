import type { registryV1 } from "@tollgate/contracts";
import { type Pool, withTransaction } from "@tollgate/service";
import { type Queryable, readRevision } from "./revision.ts";

/** The tools of a server as they were at a revision, so that loading again reads only those that have changed. */
export type ToolCache = Map<string, { readonly revision: string; readonly tools: registryV1.Tool[] }>;

interface ServerRow {
  readonly id: string;
  readonly name: string;
  readonly group: string;
  readonly type: string;
  readonly enabled: boolean;
  readonly status: string;
  readonly reason: string;
  readonly era: string;
  readonly server_info: string;
  readonly reported_at: Date | null;
  readonly tools_revision: string;
}

/** The whole catalogue at one revision. `cache` is brought up to date. */
export async function loadCatalogue(pool: Pool, cache: ToolCache): Promise<registryV1.WatchCatalogueResponse> {
  return withTransaction(pool, async (client) => {
    // All statements see one moment.
    await client.query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY");
    const revision = await readRevision(client);
    const groups = await client.query<registryV1.Group>("SELECT id, name FROM registry.groups ORDER BY position");
    const servers = await client.query<ServerRow>(
      `SELECT id, name, group_id AS "group", type, enabled, status, reason, era, server_info, reported_at, tools_revision
       FROM registry.servers JOIN registry.server_states ON server_id = id ORDER BY position`,
    );
    await refreshTools(client, servers.rows, cache);
    return { revision, groups: groups.rows, servers: servers.rows.map((row) => toServer(row, cache)) };
  });
}

async function refreshTools(client: Queryable, servers: readonly ServerRow[], cache: ToolCache): Promise<void> {
  const revisions = new Map(servers.map((server) => [server.id, server.tools_revision]));
  for (const [id, { revision }] of cache) if (revisions.get(id) !== revision) cache.delete(id);
  const missing = servers.filter(({ id }) => !cache.has(id));
  if (missing.length === 0) return;
  const { rows } = await client.query<registryV1.Tool & { server_id: string }>(
    `SELECT server_id, name, definition, hash, retry_safe AS "retrySafe"
     FROM registry.tools WHERE server_id = ANY ($1) ORDER BY server_id, position`,
    [missing.map(({ id }) => id)],
  );
  const tools = Map.groupBy(rows, (row) => row.server_id);
  for (const { id, tools_revision: revision } of missing) cache.set(id, { revision, tools: tools.get(id) ?? [] });
}

function toServer(row: ServerRow, cache: ToolCache): registryV1.Server {
  return {
    id: row.id,
    name: row.name,
    group: row.group,
    type: row.type,
    enabled: row.enabled,
    status: row.status,
    reason: row.reason,
    era: row.era,
    serverInfo: row.server_info,
    reportedAtMs: BigInt(row.reported_at?.getTime() ?? 0),
    tools: cache.get(row.id)!.tools,
    prompts: [],
    resources: [],
    resourceTemplates: [],
    capabilities: "",
    instructions: "",
    protocol: "",
    clientCapabilities: [],
    sessionContext: false,
  };
}
