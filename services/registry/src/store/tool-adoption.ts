import type { Queryable } from "./revision.ts";
import type { ToolsReport } from "./tool-reports.ts";

/** A tool that is listed. */
export interface ListedRow {
  readonly server_id: string;
  readonly group: string;
  readonly changes: ToolsReport["policy"]["changes"];
  readonly certification: ToolsReport["policy"]["certification"];
  readonly key: string;
  readonly definition: string;
  readonly hash: string;
  readonly retry_safe: boolean;
}

/** All tools of servers of which some have no version. */
export async function readUnknownTools(client: Queryable): Promise<ListedRow[]> {
  const { rows } = await client.query<ListedRow>(
    `SELECT server_id, group_id AS "group", tool_changes AS changes, certification, key, definition, hash, retry_safe
     FROM registry.items JOIN registry.servers ON id = server_id
     WHERE kind = 'tool' AND server_id IN (
       SELECT server_id FROM registry.items
       WHERE kind = 'tool' AND (server_id, key) NOT IN (SELECT server_id, tool FROM registry.tools))`,
  );
  return rows;
}
