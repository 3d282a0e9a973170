import { setTimeout as delay } from "node:timers/promises";
import { followDesiredState, loadDesiredState } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import { dropOldPartitions, type Leadership, type Life, type Log, type Pool } from "@tollgate/service";

const DAY_MS = 86_400_000;

/**
 * Lets go of single calls by whole partitions, or chunks, once all of it is older than tollgate.yaml keeps it. Sums of
 * days stay, and with them what was used and what it cost.
 * @param options.configFile empty: there is none
 * @throws {AppError} invalid_argument if the file cannot be read or has mistakes when the service starts
 */
export async function keepRetention(options: {
  pool: Pool;
  leadership: Leadership;
  configFile: string;
  intervalMs: number;
  life: Life;
  log: Log;
}): Promise<void> {
  const { pool, leadership, configFile: file, intervalMs, life, log } = options;
  // Of its section nothing is a secret: none of the user's variables is needed.
  const reading = { file, env: {}, sections: ["metering"] } as const;
  let { retentionDays } = loadDesiredState("{}", reading).metering;
  if (file !== "")
    await followDesiredState({
      ...reading,
      signal: life.signal,
      apply: async ({ metering }) => void ({ retentionDays } = metering),
      onProblem: (error) => {
        const problem = error instanceof AppError ? error.message : String(error);
        log.error({ problem }, "configuration file not taken; the last good one stays");
      },
    });
  leadership.run("retention", async (signal, begun) => {
    while (!signal.aborted) {
      const beforeMs = Date.now() - retentionDays * DAY_MS;
      await dropOldPartitions({ pool, schema: "metering", table: "calls", beforeMs, onlyEmpty: false, log });
      begun();
      await delay(intervalMs, undefined, { signal }).catch(() => {});
    }
  });
}
