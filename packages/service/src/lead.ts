import { setTimeout as delay } from "node:timers/promises";
import type { PoolClient } from "pg";
import { type Life, within } from "./life.ts";
import type { Log } from "./log.ts";
import type { Pool } from "./postgres.ts";

const LOOK_INTERVAL_MS = 1_000;
const ANSWER_TIMEOUT_MS = 5_000;
/** The database ends the session of a leader that says nothing for so long: its machine is gone. */
const SILENCE_MAX_MS = 30_000;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;
/** How long works have to end when the service stops: then their connections are taken away. */
const END_MAX_MS = 4_000;

/** Which of a service's replicas does what only one should do. */
export interface Leadership {
  leading(): boolean;
  /**
   * Does `work` whenever this replica leads. `signal` aborts when it leads no more or the service stops; a work that
   * throws is done again, with backoff, as long as it leads. `begun` is to be called when all is well again.
   */
  run(name: string, work: (signal: AbortSignal, begun: () => void) => Promise<void>): { problem(): string | undefined };
}

interface Work {
  readonly name: string;
  readonly work: (signal: AbortSignal, begun: () => void) => Promise<void>;
  problem: string | undefined;
}

/**
 * The replica that holds the advisory lock `name` leads; the others ask for it every second. It holds one connection
 * of the pool for good. This saves work and keeps order, but two replicas may think for a moment that they lead: what
 * must not be done twice needs a fence in its transaction.
 */
export function lead(options: { pool: Pool; name: string; life: Life; log: Log }): Leadership {
  const { name, life, log } = options;
  const works: Work[] = [];
  const running = new Set<Promise<void>>();
  let term: AbortSignal | undefined;

  function start(work: Work, signal: AbortSignal): void {
    const done = runUntilAborted(work, signal, log).finally(() => running.delete(done));
    running.add(done);
  }

  async function leadOnce(client: PoolClient): Promise<void> {
    const ending = new AbortController();
    term = AbortSignal.any([life.signal, ending.signal]);
    try {
      log.info({ name }, "leading");
      for (const work of works) start(work, term);
      while (!life.signal.aborted) {
        await delay(LOOK_INTERVAL_MS, undefined, { signal: life.signal }).catch(() => {});
        // On this connection: while it answers, the lock is held.
        await within(ANSWER_TIMEOUT_MS, client.query("SELECT 1"), "the lock's connection has not answered");
      }
    } finally {
      ending.abort();
      term = undefined;
      await within(END_MAX_MS, Promise.all(running), "not ended").catch(() => {});
    }
  }

  const leading = (async () => {
    while (!life.signal.aborted) {
      await holdLock(options, leadOnce).catch((error: unknown) => {
        if (!life.signal.aborted) log.warn({ err: error, name }, "cannot lead now");
      });
      await delay(LOOK_INTERVAL_MS, undefined, { signal: life.signal }).catch(() => {});
    }
  })();
  life.onClose("leadership", END_MAX_MS + ANSWER_TIMEOUT_MS, () => leading);

  return {
    leading: () => term !== undefined,
    run(workName, work) {
      const entry: Work = { name: workName, work, problem: undefined };
      works.push(entry);
      if (term !== undefined) start(entry, term);
      return { problem: () => entry.problem };
    },
  };
}

/** Does `work` with the lock if it is free. */
async function holdLock(
  { pool, name }: { pool: Pool; name: string },
  work: (client: PoolClient) => Promise<void>,
): Promise<void> {
  const client = await pool.connect();
  let lost: Error | undefined;
  const onError = (error: Error): void => void (lost = error);
  client.on("error", onError);
  try {
    const { rows } = await client.query<{ held: boolean }>(
      "SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS held",
      [`tollgate-leader-${name}`],
    );
    if (rows[0]?.held !== true) return;
    // A setting of PostgreSQL 14; it ends with the connection, which is not used for anything else afterwards.
    await client.query(`SET idle_session_timeout = ${SILENCE_MAX_MS}`);
    lost = new Error("the lock is given up");
    await work(client);
  } catch (error) {
    lost ??= error as Error;
    throw error;
  } finally {
    client.off("error", onError);
    // With an error the pool ends the connection, and the lock with it.
    client.release(lost);
  }
}

async function runUntilAborted(entry: Work, signal: AbortSignal, log: Log): Promise<void> {
  let retryMs = RETRY_MIN_MS;
  const begun = (): void => {
    retryMs = RETRY_MIN_MS;
    entry.problem = undefined;
  };
  while (!signal.aborted) {
    try {
      await entry.work(signal, begun);
    } catch (error) {
      if (signal.aborted) break;
      entry.problem = (error as Error).message;
      log.error({ err: error, work: entry.name, retryMs }, "failed; trying again");
    }
    await delay(retryMs, undefined, { signal }).catch(() => {});
    retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
  }
  entry.problem = undefined;
}
