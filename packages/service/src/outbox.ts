import { setTimeout as delay } from "node:timers/promises";
import type { EventPublisher } from "@tollgate/bus";
import { type AuditEvent, parseAuditEvent } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { ClientBase } from "pg";
import type { Life } from "./life.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { type Pool, withTransaction } from "./postgres.ts";

const LOOK_INTERVAL_MS = 200;
const RETRY_MAX_MS = 5_000;
/** Events of one transaction of the outbox. */
const BATCH_MAX = 200;
const LAST_BATCH_MS = 3_000;

/**
 * Events that are published if, and only if, the transaction is committed. `schema` has the table:
 *
 *     CREATE TABLE <schema>.outbox (
 *       position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
 *       event text NOT NULL,
 *       created_at timestamptz NOT NULL DEFAULT now()
 *     );
 *
 * @throws {AppError} internal, for one that the stream would never take: it would hold up all others for ever
 */
export async function enqueueEvents(
  client: Pick<ClientBase, "query">,
  schema: string,
  events: readonly AuditEvent[],
): Promise<void> {
  if (events.length === 0) return;
  const lines = events.map((event) => JSON.stringify(event));
  for (const line of lines) {
    const parsed = parseAuditEvent(line);
    if (!parsed.ok) throw new AppError("internal", `an event of this change is none: ${parsed.reason}`);
  }
  await client.query(
    `INSERT INTO "${schema}".outbox (event) SELECT line FROM unnest($1::text[]) WITH ORDINALITY AS given (line, at) ORDER BY at`,
    [lines],
  );
}

/**
 * Publishes what the outbox holds, in order, and deletes what the stream has acknowledged; for ever, whatever is away
 * meanwhile. An event may be published twice when a process is killed, and never before those in front of it. One
 * replica at a time does it: whoever has the lock, for as long as a batch takes. That only saves copies: with two at once
 * the first copy of each event would still come after the first copy of the one before.
 */
export function keepOutbox(options: {
  pool: Pool;
  schema: string;
  events: EventPublisher;
  metrics: Metrics;
  life: Life;
  log: Log;
}): void {
  const { pool, schema, events, metrics, life, log } = options;
  const waiting = metrics.gauge(`tollgate_${schema}_outbox_events`, "Events of changes that are not on the stream yet");
  const stopping = new AbortController();

  /** True when there is more to do at once. */
  async function flush(): Promise<boolean> {
    const { rows } = await pool.query<{ count: number }>(`SELECT count(*)::integer AS count FROM "${schema}".outbox`);
    waiting.set(rows[0]!.count);
    if (rows[0]!.count === 0) return false;
    const { signal } = stopping;
    const { count, problem } = await withTransaction(pool, (client) =>
      publishBatch(client, { schema, events, signal }),
    );
    if (problem !== undefined) throw problem;
    return count === BATCH_MAX;
  }

  async function follow(): Promise<void> {
    let retryMs = LOOK_INTERVAL_MS;
    while (!stopping.signal.aborted) {
      try {
        const isMore = await flush();
        retryMs = LOOK_INTERVAL_MS;
        if (isMore) continue;
      } catch (error) {
        retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
        if (!stopping.signal.aborted) log.warn({ err: error, retryMs }, "events of changes could not be published yet");
      }
      await delay(retryMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }
  const following = follow();
  life.onClose("outbox", LAST_BATCH_MS, async () => {
    stopping.abort();
    await following;
  });
}

/** What was published is deleted, also when one in the middle could not be. */
async function publishBatch(
  client: ClientBase,
  { schema, events, signal }: { schema: string; events: EventPublisher; signal: AbortSignal },
): Promise<{ count: number; problem?: Error }> {
  const lock = await client.query<{ taken: boolean }>(
    "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS taken",
    [`tollgate-outbox-${schema}`],
  );
  if (!lock.rows[0]!.taken) return { count: 0 };
  const { rows } = await client.query<{ position: string; event: string }>(
    `SELECT position, event FROM "${schema}".outbox ORDER BY position LIMIT ${BATCH_MAX}`,
  );
  const published: string[] = [];
  let problem: Error | undefined;
  // One after the other: what is published together may arrive in another order when a part of it is sent again.
  for (const { position, event } of rows) {
    if (signal.aborted || problem !== undefined) break;
    await events.publish(JSON.parse(event) as AuditEvent).then(
      () => published.push(position),
      (error: unknown) => (problem = error as Error),
    );
  }
  await client.query(`DELETE FROM "${schema}".outbox WHERE position = ANY($1)`, [published]);
  return { count: published.length, ...(problem === undefined ? {} : { problem }) };
}
