import type { ListedTool } from "../domain/offered-tools.ts";
import type { Queryable } from "./revision.ts";

const VERSION_COLUMNS = (table: string): string =>
  `json_build_object('version', ${table}.version, 'hash', ${table}.hash, 'certification', ${table}.certification,
    'retrySafe', ${table}.retry_safe, 'definition', ${table}.definition)`;

/** Of servers whose tools an older registry has written down, they are as it has them. */
export async function loadTools(client: Queryable, serverIds: readonly string[]): Promise<Map<string, ListedTool[]>> {
  const { rows } = await client.query<ListedTool>(
    `SELECT item.server_id, item.key AS tool, tool_changes AS changes, server.certification AS required,
       coalesce(removed_by, '') AS removed_by, coalesce(tool.first_seen, now()) AS first_seen,
       CASE WHEN said.version IS NOT NULL THEN ${VERSION_COLUMNS("said")} ELSE json_build_object('version', 1,
         'hash', item.hash, 'certification', 'draft', 'retrySafe', item.retry_safe, 'definition', item.definition)
       END AS reported,
       CASE WHEN given.version <> said.version THEN ${VERSION_COLUMNS("given")} END AS served
     FROM registry.items AS item
     JOIN registry.servers AS server ON server.id = item.server_id
     LEFT JOIN registry.tools AS tool ON tool.server_id = item.server_id AND tool.tool = item.key
     LEFT JOIN registry.tool_versions AS said
       ON said.server_id = tool.server_id AND said.tool = tool.tool AND said.version = tool.reported
     LEFT JOIN registry.tool_versions AS given
       ON given.server_id = tool.server_id AND given.tool = tool.tool AND given.version = tool.served
     WHERE item.kind = 'tool' AND item.server_id = ANY ($1) ORDER BY item.server_id, item.position`,
    [serverIds],
  );
  return Map.groupBy(rows, (row) => row.server_id);
}
