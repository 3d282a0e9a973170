import { enqueueEvents, type Pool, withTransaction } from "@tollgate/service";
import { canonicalHash } from "../domain/canonical-hash.ts";
import type { Item } from "../domain/item.ts";
import { lockRevision, setRevision } from "./revision.ts";
import { touchItems } from "./reports.ts";
import { recordTools, type ToolsReport } from "./tool-reports.ts";

interface Row {
  readonly server_id: string;
  readonly group: string;
  readonly changes: ToolsReport["policy"]["changes"];
  readonly certification: ToolsReport["policy"]["certification"];
  readonly key: string;
  readonly definition: string;
  readonly hash: string;
  readonly retry_safe: boolean;
}

/** What was reported to a registry that knew no versions becomes the first version of each tool. */
export async function adoptTools(pool: Pool, nowMs: number): Promise<void> {
  await withTransaction(pool, async (client) => {
    const revision = (await lockRevision(client)) + 1n;
    const { rows } = await client.query<Row>(
      `SELECT server_id, group_id AS "group", tool_changes AS changes, certification, key, definition, hash, retry_safe
       FROM registry.items JOIN registry.servers ON id = server_id
       WHERE kind = 'tool' AND server_id IN (
         SELECT server_id FROM registry.items
         WHERE kind = 'tool' AND (server_id, key) NOT IN (SELECT server_id, tool FROM registry.tools))`,
    );
    if (rows.length === 0) return;
    for (const [serverId, own] of Map.groupBy(rows, (row) => row.server_id)) {
      const { group, changes, certification } = own[0]!;
      const report = { serverId, group, runner: "", tools: own.map(toItem), policy: { changes, certification }, nowMs };
      const { events } = await recordTools(client, report);
      await enqueueEvents(client, "registry", events);
      await touchItems(client, serverId, revision);
    }
    await setRevision(client, revision);
  });
}

function toItem({ key, definition, hash, retry_safe: retrySafe }: Row): Item {
  return { kind: "tool", key, definition, hash, canonicalHash: canonicalHash(definition), retrySafe };
}
