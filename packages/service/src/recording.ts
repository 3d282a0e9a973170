import type { Life } from "./life.ts";
import type { Ops } from "./ops.ts";
import type { Pool } from "./postgres.ts";

const LOOK_INTERVAL_MS = 5_000;

/**
 * For services that bring a stream into a database. Looks every five seconds whether the database answers and how far
 * it is behind. Not ready: the bus or the database is away, a batch cannot be stored, or the lag is past `lagMax`.
 */
export function watchRecording(options: {
  name: string;
  lagMax: number;
  /** How many messages of the stream are not stored yet, or undefined while nobody can say. */
  readLag: () => Promise<number | undefined>;
  busProblem: () => string | undefined;
  pool: Pool;
  consumer: { readonly waiting: number; problem(): string | undefined };
  ops: Ops;
  life: Life;
}): void {
  const { name, lagMax, readLag, busProblem, pool, consumer, ops, life } = options;
  const waitingGauge = ops.metrics.gauge(`tollgate_${name}_waiting_events`, "Events delivered and not yet stored");
  const lagGauge = ops.metrics.gauge(`tollgate_${name}_lag_messages`, "Messages of the stream not yet stored");
  let databaseProblem: string | undefined;
  let lag = 0;
  let timer: NodeJS.Timeout | undefined;

  async function look(): Promise<void> {
    databaseProblem = await pool.query("SELECT 1").then(
      () => undefined,
      (error: Error) => error.message,
    );
    // While NATS is away its own check says so, and the lag is the last that was known.
    lag = (await readLag()) ?? lag;
    lagGauge.set(lag);
    waitingGauge.set(consumer.waiting);
    if (!life.signal.aborted) timer = setTimeout(() => void look(), LOOK_INTERVAL_MS);
  }
  void look();
  life.onClose("readiness", 100, () => clearTimeout(timer));

  ops.checks.set("nats", busProblem);
  ops.checks.set("database", () => databaseProblem);
  ops.checks.set("store", () => consumer.problem());
  ops.checks.set("lag", () => (lag > lagMax ? `${lag} messages wait to be stored, more than ${lagMax}` : undefined));
}
