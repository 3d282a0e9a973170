import {
  type Bus,
  createEventPublisher,
  endOfEvents,
  putLineAside,
  type ReadBatch,
  readEvents,
  type StreamedEvent,
  type StreamPosition,
} from "@tollgate/bus";
import { INSTALLATION_TENANT, newCallId } from "@tollgate/contracts";
import type { PoolClient } from "pg";
import type { Leadership } from "./lead.ts";
import type { Life } from "./life.ts";
import type { Log } from "./log.ts";
import type { Ops } from "./ops.ts";
import { type Pool, withTransaction } from "./postgres.ts";

const LOOK_INTERVAL_MS = 5_000;
const ALERT_TIMEOUT_MS = 10_000;
/** A transaction whose writer is gone does not hold the position for longer. */
const IDLE_TRANSACTION_MAX_MS = 30_000;

export interface RecordingOptions<P> {
  readonly bus: Bus;
  readonly pool: Pool;
  readonly leadership: Leadership;
  readonly ops: Ops;
  readonly log: Log;
  /** Of the service and of its schema, which has the table `position`. */
  readonly name: string;
  /** Only events of this kind are handed over; all are read, so that the position says exactly what was seen. */
  readonly kind?: string;
  readonly batchMax: number;
  readonly batchWaitMs: number;
  /** What can be done with a batch while the database stores the one before it. */
  readonly prepare: (events: readonly StreamedEvent[]) => P;
  /** In the transaction that moves the position. Says how many of the events it did not have yet. */
  readonly store: (client: PoolClient, prepared: P) => Promise<number>;
}

/** A batch without its events: they are many, and what is needed of them is in `prepared`. */
interface Prepared<P> {
  readonly batch: Omit<ReadBatch, "events">;
  readonly count: number;
  readonly prepared: P;
}

export interface Recorder {
  /** Why events cannot be recorded now, or undefined. */
  problem(): string | undefined;
  /** Messages of the stream that no replica has recorded yet. */
  readLag(): Promise<number>;
}

/**
 * Brings AUDIT into a service's database, in its order. The position on the stream is a row of that database and moves
 * in the transaction that stores the events, so both are there or neither is; a transaction that finds the position
 * moved by another replica stores nothing. Whatever goes wrong, recording begins again where the database is: a dead
 * database delays and never drops, and an empty one is filled from the stream's beginning.
 */
export function recordEvents<P>(options: RecordingOptions<P>): Recorder {
  const { bus, pool, leadership, name } = options;
  const recordBatch = createBatchRecorder(options);
  const work = leadership.run("recording", (signal, begun) => record(options, recordBatch, signal, begun));
  return { problem: () => work.problem(), readLag: async () => lagOf(bus, await readPosition(pool, name)) };
}

async function record<P>(
  options: RecordingOptions<P>,
  recordBatch: (given: Prepared<P>, after: StreamPosition) => Promise<void>,
  signal: AbortSignal,
  begun: () => void,
): Promise<void> {
  const { bus, pool, name, batchMax, batchWaitMs } = options;
  let position = await readPosition(pool, name);
  if ((await lagOf(bus, position)) === 0) begun();
  const ending = new AbortController();
  const reading = AbortSignal.any([signal, ending.signal]);
  const batches = readEvents(bus, { from: position, batchMax, batchWaitMs, signal: reading });
  const readNext = async (): Promise<Prepared<P> | undefined> => {
    const { value: batch, done } = await batches.next();
    return done === true ? undefined : prepareBatch(batch, options);
  };
  try {
    let next = readNext();
    for (let given = await next; given !== undefined; given = await next) {
      // While the database works.
      next = readNext();
      next.catch(() => {});
      await recordBatch(given, position);
      position = given.batch.position;
      begun();
    }
  } finally {
    // Not return(): it would wait behind the batch that is asked for, for as long as nothing comes.
    ending.abort();
  }
}

function prepareBatch<P>(batch: ReadBatch, { kind, prepare }: RecordingOptions<P>): Prepared<P> {
  const { events: all, ...rest } = batch;
  const events = kind === undefined ? all : all.filter(({ event }) => event.kind === kind);
  return { batch: rest, count: events.length, prepared: prepare(events) };
}

function createBatchRecorder<P>({ bus, pool, ops, log, name, kind, store }: RecordingOptions<P>) {
  const { metrics } = ops;
  const stored = metrics.counter(`tollgate_${name}_events_stored_total`, "Events stored");
  const duplicates = metrics.counter(`tollgate_${name}_events_duplicate_total`, "Events that were stored already");
  const gone = metrics.counter(`tollgate_${name}_messages_missing_total`, "Messages that were gone before their turn");
  const seconds = metrics.histogram(`tollgate_${name}_store_seconds`, "Time to store one batch");
  const publisher = createEventPublisher(bus, { waitingMax: 100, timeoutMs: ALERT_TIMEOUT_MS });
  let announced = { stream: "", to: 0 };

  /** Each missing message once, however often its batch is tried. */
  async function alert(stream: string, missing: { from: number; to: number }): Promise<void> {
    const { to } = missing;
    const from = announced.stream === stream ? Math.max(missing.from, announced.to + 1) : missing.from;
    if (from > to) return;
    announced = { stream, to };
    const reason = `${name} cannot record messages ${from} to ${to} of the stream: they are not there any more`;
    log.error({ from, to }, reason);
    gone.inc(to - from + 1);
    const now = Date.now();
    const event = { v: 1, kind: "alert", id: newCallId(now), tenant: INSTALLATION_TENANT, endedAt: now } as const;
    // On a stream that is full there is no place for it; recording goes on all the same.
    await publisher
      .publish({ ...event, code: "missing_events", reason })
      .catch((error: unknown) => log.error({ err: error }, "the alert could not be published"));
  }

  return async ({ batch, count, prepared }: Prepared<P>, after: StreamPosition): Promise<void> => {
    if (batch.missing) await alert(batch.position.stream, batch.missing);
    for (const bad of batch.badLines)
      if (kind === undefined || bad.subject.endsWith(`.${kind}`)) await putLineAside(bus, name, bad);
    const done = seconds.startTimer();
    const fresh = await withTransaction(pool, async (client) => {
      await movePosition(client, name, after, batch.position);
      return count === 0 ? 0 : store(client, prepared);
    });
    done();
    stored.inc(fresh);
    duplicates.inc(count - fresh);
  };
}

async function readPosition(pool: Pool, schema: string): Promise<StreamPosition> {
  const { rows } = await pool.query<{ stream: string; sequence: string; publishedAtMs: number | null }>(
    `SELECT stream, sequence, round(extract(epoch FROM published_at) * 1000)::float8 AS "publishedAtMs" FROM "${schema}".position`,
  );
  const { stream, sequence, publishedAtMs } = rows[0]!;
  return { stream, sequence: Number(sequence), ...(publishedAtMs === null ? {} : { publishedAtMs }) };
}

/**
 * The fence. It comes first: a second writer waits here for the one that is at work, and then finds the position moved.
 *
 * The commit is not waited for to reach the disk. What a crash of PostgreSQL takes back, it takes back with its
 * position, and the stream still has it.
 */
async function movePosition(
  client: PoolClient,
  schema: string,
  from: StreamPosition,
  to: Required<StreamPosition>,
): Promise<void> {
  await client.query(
    `SET LOCAL synchronous_commit = off; SET LOCAL idle_in_transaction_session_timeout = ${IDLE_TRANSACTION_MAX_MS}`,
  );
  const { rowCount } = await client.query(
    `UPDATE "${schema}".position SET stream = $3, sequence = $4, published_at = to_timestamp($5::float8 / 1000)
     WHERE stream = $1 AND sequence = $2`,
    [from.stream, from.sequence, to.stream, to.sequence, to.publishedAtMs],
  );
  if (rowCount !== 1) throw new Error("another replica has recorded this meanwhile");
}

async function lagOf(bus: Bus, { stream, sequence }: StreamPosition): Promise<number> {
  const end = await endOfEvents(bus);
  // Of another stream, or of one that has lost its end: it will be read from its beginning.
  const after = stream === end.stream && sequence <= end.last ? Math.max(sequence, end.first - 1) : end.first - 1;
  return end.last - after;
}

/**
 * Looks every five seconds whether the database answers and how far it is behind the stream, on replicas that do not
 * lead as well. Not ready: the bus or the database is away, a batch cannot be stored, or the lag is past `lagMax`.
 */
export function watchRecorder(options: {
  name: string;
  lagMax: number;
  recorder: Recorder;
  leadership: Leadership;
  bus: Bus;
  pool: Pool;
  ops: Ops;
  life: Life;
}): void {
  const { name, lagMax, recorder, leadership, bus, pool, ops, life } = options;
  const lagGauge = ops.metrics.gauge(`tollgate_${name}_lag_messages`, "Messages of the stream not yet stored");
  ops.metrics.gauge(`tollgate_${name}_leading`, "1 where this replica records", [], (gauge) =>
    gauge.set(leadership.leading() ? 1 : 0),
  );
  let databaseProblem: string | undefined;
  let lag = 0;
  let timer: NodeJS.Timeout | undefined;

  async function look(): Promise<void> {
    databaseProblem = await pool.query("SELECT 1").then(
      () => undefined,
      (error: Error) => error.message,
    );
    // While NATS or the database is away its own check says so, and the lag is the last that was known.
    lag = await recorder.readLag().catch(() => lag);
    lagGauge.set(lag);
    if (!life.signal.aborted) timer = setTimeout(() => void look(), LOOK_INTERVAL_MS);
  }
  void look();
  life.onClose("readiness", 100, () => clearTimeout(timer));

  ops.checks.set("nats", () => bus.problem());
  ops.checks.set("database", () => databaseProblem);
  ops.checks.set("store", () => recorder.problem());
  ops.checks.set("lag", () => (lag > lagMax ? `${lag} messages wait to be stored, more than ${lagMax}` : undefined));
}
