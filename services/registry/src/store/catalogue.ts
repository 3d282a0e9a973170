import { registryV1 } from "@tollgate/contracts";
import { type Pool, withTransaction } from "@tollgate/service";
import type { Kind } from "../domain/item.ts";
import type { ListedTool, OfferedTools } from "../domain/offered-tools.ts";
import { type Queryable, readRevision } from "./revision.ts";
import { loadTools } from "./tools.ts";

/** What a server offers. */
type Offer = Pick<registryV1.Server, "tools" | "withheldTools" | "prompts" | "resources" | "resourceTemplates">;

/** Each server's offer as it was at a revision, so that loading again reads only those that have changed. */
export type OfferCache = Map<string, CachedOffer>;

/** What is made of the tools that servers list. */
export interface Offering {
  readonly toOffered: (tools: readonly ListedTool[]) => OfferedTools;
  readonly tellShadowing: (servers: ReadonlyMap<string, OfferedTools>) => void;
}

interface CachedOffer extends OfferedTools {
  readonly revision: string;
  readonly offer: Omit<Offer, "tools" | "withheldTools">;
}

interface ServerRow extends Omit<registryV1.Server, keyof Offer | "serverInfo" | "reportedAtMs" | "generation"> {
  readonly server_info: string;
  readonly reported_at: Date | null;
  readonly items_revision: string;
  readonly generation: string;
}

interface ItemRow extends registryV1.Item {
  readonly server_id: string;
  readonly kind: Exclude<Kind, "tool">;
}

/** The whole catalogue at one revision. `cache` is brought up to date. */
export async function loadCatalogue(
  pool: Pool,
  cache: OfferCache,
  offering: Offering,
): Promise<registryV1.WatchCatalogueResponse> {
  return withTransaction(pool, async (client) => {
    // All statements see one moment.
    await client.query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY");
    const revision = await readRevision(client);
    const groups = await client.query<registryV1.Group>("SELECT id, name FROM registry.groups ORDER BY position");
    const servers = await client.query<ServerRow>(
      `SELECT id, name, group_id AS "group", type, enabled, status, reason, era, protocol, server_info, capabilities,
         instructions, client_capabilities AS "clientCapabilities", session_context AS "sessionContext", reported_at,
         items_revision || ' ' || tool_changes || ' ' || certification AS items_revision, isolation, limits_by AS "limitsBy", tool_rules AS "toolRules", pool_mode AS "poolMode", generation,
         environment, risk
       FROM registry.servers JOIN registry.server_states ON server_id = id ORDER BY position`,
    );
    const tenants = await client.query<registryV1.Tenant>(
      `SELECT id, plan, lane, weight, max_concurrent AS "maxConcurrent", max_waiting AS "maxWaiting"
       FROM registry.tenants ORDER BY position`,
    );
    const toolSets = await client.query<registryV1.ToolSet>(
      "SELECT id, name, description, tools, repositories FROM registry.tool_sets ORDER BY position",
    );
    await refreshOffers(client, servers.rows, { cache, offering });
    return {
      revision,
      groups: groups.rows,
      servers: servers.rows.map((row) => toServer(row, cache)),
      tenants: tenants.rows,
      toolSets: toolSets.rows,
      delta: false,
      serverIds: [],
    };
  });
}

async function refreshOffers(
  client: Queryable,
  servers: readonly ServerRow[],
  { cache, offering }: { cache: OfferCache; offering: Offering },
): Promise<void> {
  const revisions = new Map(servers.map((server) => [server.id, server.items_revision]));
  const { size } = cache;
  for (const [id, { revision }] of cache) if (revisions.get(id) !== revision) cache.delete(id);
  const missing = servers.filter(({ id }) => !cache.has(id));
  if (missing.length === 0 && cache.size === size) return;
  const ids = missing.map(({ id }) => id);
  const { rows } = await client.query<ItemRow>(
    `SELECT server_id, kind, key, definition, hash
     FROM registry.items WHERE server_id = ANY ($1) AND kind <> 'tool' ORDER BY server_id, position`,
    [ids],
  );
  const items = Map.groupBy(rows, (row) => row.server_id);
  const tools = await loadTools(client, ids);
  for (const { id, items_revision: revision } of missing)
    cache.set(id, { revision, offer: toOffer(items.get(id)), ...offering.toOffered(tools.get(id) ?? []) });
  offering.tellShadowing(cache);
}

function toOffer(rows: readonly ItemRow[] = []): CachedOffer["offer"] {
  const byKind = Map.groupBy(rows, (row) => row.kind);
  const items = (kind: ItemRow["kind"]): registryV1.Item[] =>
    (byKind.get(kind) ?? []).map(({ key, definition, hash }) => ({ key, definition, hash }));
  return {
    prompts: items("prompt"),
    resources: items("resource"),
    resourceTemplates: items("resource_template"),
  };
}

function toServer(row: ServerRow, cache: OfferCache): registryV1.Server {
  const { server_info: serverInfo, reported_at: reportedAt, items_revision: _, generation, ...rest } = row;
  const { offer, told } = cache.get(row.id)!;
  return {
    ...rest,
    // Those that were stored before there were risks say none.
    toolRules: rest.toolRules.map((rule) => registryV1.ToolRule.fromPartial(rule)),
    serverInfo,
    generation: BigInt(generation),
    reportedAtMs: BigInt(reportedAt?.getTime() ?? 0),
    ...offer,
    ...told,
  };
}
