import type { ListedTool, OfferedVersion } from "../domain/offered-tools.ts";
import type { Queryable } from "./revision.ts";

/** Columns of what the server says, and with `given_` of what is served, where that is something else. */
interface Row extends Omit<ListedTool, "reported" | "served">, OfferedVersion {
  readonly given_version: number | null;
  readonly given_hash: string;
  readonly given_certification: OfferedVersion["certification"];
  readonly given_definition: string;
  readonly given_retry_safe: boolean;
}

/** By server, in its order. Of tools that only an older registry has written down, it is as that has it. */
export async function loadTools(client: Queryable, serverIds: readonly string[]): Promise<Map<string, ListedTool[]>> {
  const { rows } = await client.query<Row>(
    `SELECT item.server_id, item.key AS tool, tool_changes AS changes, server.certification AS required,
       coalesce(removed_by, '') AS removed_by, coalesce(tool.first_seen, now()) AS first_seen,
       coalesce(said.version, 1) AS version, coalesce(said.hash, item.hash) AS hash,
       coalesce(said.certification, 'draft') AS certification, coalesce(said.definition, item.definition) AS definition,
       coalesce(said.retry_safe, item.retry_safe) AS "retrySafe",
       given.version AS given_version, given.hash AS given_hash, given.certification AS given_certification,
       given.definition AS given_definition, given.retry_safe AS given_retry_safe
     FROM registry.items AS item
     JOIN registry.servers AS server ON server.id = item.server_id
     LEFT JOIN registry.tools AS tool ON tool.server_id = item.server_id AND tool.tool = item.key
     LEFT JOIN registry.tool_versions AS said
       ON said.server_id = tool.server_id AND said.tool = tool.tool AND said.version = tool.reported
     LEFT JOIN registry.tool_versions AS given ON given.server_id = tool.server_id AND given.tool = tool.tool
       AND given.version = tool.served AND tool.served <> tool.reported
     WHERE item.kind = 'tool' AND item.server_id = ANY ($1) ORDER BY item.server_id, item.position`,
    [serverIds],
  );
  return Map.groupBy(rows.map(toListed), ({ server_id: id }) => id);
}

function toListed(row: Row): ListedTool {
  const { server_id, tool, changes, required, removed_by, first_seen } = row;
  const { version, hash, certification, definition, retrySafe } = row;
  const about = { server_id, tool, changes, required, removed_by, first_seen };
  const reported = { version, hash, certification, definition, retrySafe };
  if (row.given_version === null) return { ...about, reported, served: null };
  const served = {
    version: row.given_version,
    hash: row.given_hash,
    certification: row.given_certification,
    definition: row.given_definition,
    retrySafe: row.given_retry_safe,
  };
  return { ...about, reported, served };
}
