import { setTimeout as delay } from "node:timers/promises";
import { dropOldPartitions, type Leadership, type Log, type Pool } from "@tollgate/service";
import type { MeteringFile } from "./desired-file.ts";

const DAY_MS = 86_400_000;

/**
 * Lets go of single calls by whole partitions, or chunks, once all of it is older than tollgate.yaml keeps it. Sums of
 * days stay, and with them what was used and what it cost.
 */
export function keepRetention(options: {
  pool: Pool;
  leadership: Leadership;
  file: MeteringFile;
  intervalMs: number;
  log: Log;
}): void {
  const { pool, leadership, file, intervalMs, log } = options;
  leadership.run("retention", async (signal, begun) => {
    while (!signal.aborted) {
      const beforeMs = Date.now() - file.retentionDays() * DAY_MS;
      await dropOldPartitions({ pool, schema: "metering", table: "calls", beforeMs, onlyEmpty: false, log });
      begun();
      await delay(intervalMs, undefined, { signal }).catch(() => {});
    }
  });
}
