import type { Bus, EventConsumer } from "@tollgate/bus";
import type { Life, Ops, Pool } from "@tollgate/service";

const LOOK_INTERVAL_MS = 5_000;

/**
 * Looks every five seconds whether the database answers and how many messages of AUDIT the durable has not stored yet.
 * Not ready: the bus or the database is away, a batch cannot be stored, or the lag is past `lagMax`.
 */
export function watchReadiness(options: {
  /** The service and its durable. */
  name: string;
  lagMax: number;
  bus: Bus;
  pool: Pool;
  consumer: EventConsumer;
  ops: Ops;
  life: Life;
}): void {
  const { name, lagMax, bus, pool, consumer, ops, life } = options;
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
    const info = await bus.jsm.consumers.info(bus.subjects.streams.audit, name).catch(() => undefined);
    if (info) lag = info.num_pending + info.num_ack_pending;
    lagGauge.set(lag);
    waitingGauge.set(consumer.waiting);
    if (!life.signal.aborted) timer = setTimeout(() => void look(), LOOK_INTERVAL_MS);
  }
  void look();
  life.onClose("readiness", 100, () => clearTimeout(timer));

  ops.checks.set("nats", () => bus.problem());
  ops.checks.set("database", () => databaseProblem);
  ops.checks.set("store", () => consumer.problem());
  ops.checks.set("lag", () => (lag > lagMax ? `${lag} messages wait to be stored, more than ${lagMax}` : undefined));
}
