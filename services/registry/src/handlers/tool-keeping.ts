import { enqueueEvents, type Life, type Log, type Pool, withTransaction } from "@tollgate/service";
import { canonicalHash } from "../domain/canonical-hash.ts";
import type { Item } from "../domain/item.ts";
import { FLOODED } from "../domain/tool-report.ts";
import { lockRevision } from "../store/revision.ts";
import { type ListedRow, readUnknownTools } from "../store/tool-adoption.ts";
import { forgetTools } from "../store/tool-memory.ts";
import { recordTools } from "./tool-reports.ts";

const FORGET_MS = 3_600_000;

/** What is known of tools is made whole at the start, and what nobody has listed for long is forgotten. */
export async function keepTools({ pool, life, log }: { pool: Pool; life: Life; log: Log }): Promise<void> {
  await adoptTools(pool, Date.now());
  let current: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    current = forgetTools(pool, FLOODED).catch((error: unknown) =>
      log.warn({ err: error }, "tools that are gone could not be forgotten; trying again"),
    );
  }, FORGET_MS);
  life.onClose("tools", 2_000, () => {
    clearInterval(timer);
    return current;
  });
}

/** What was reported to a registry that knew no versions becomes the first version of each tool. */
async function adoptTools(pool: Pool, nowMs: number): Promise<void> {
  await withTransaction(pool, async (client) => {
    await lockRevision(client);
    const rows = await readUnknownTools(client);
    if (rows.length === 0) return;
    for (const [serverId, own] of Map.groupBy(rows, (row) => row.server_id)) {
      const { group, changes, certification } = own[0]!;
      const report = { serverId, group, runner: "", tools: own.map(toItem), policy: { changes, certification }, nowMs };
      const { events } = await recordTools(client, report);
      await enqueueEvents(client, "registry", events);
    }
  });
}

function toItem({ key, definition, hash, retry_safe: retrySafe }: ListedRow): Item {
  return { kind: "tool", key, definition, hash, canonicalHash: canonicalHash(definition), retrySafe };
}
