import { join } from "node:path";
import { connectBus, consumeEvents, readLag } from "@tollgate/bus";
import { meteringV1 } from "@tollgate/contracts";
import {
  createMetrics,
  createOps,
  type Life,
  type Log,
  migrate,
  openLife,
  openPartitions,
  openPool,
  type Service,
  startGrpcServer,
  startOpsServer,
  watchRecording,
} from "@tollgate/service";
import type { MeteringConfig } from "./config.ts";
import { createEventHandler } from "./handlers/events.ts";
import { createMeteringHandlers } from "./handlers/grpc.ts";

const NAME = "metering";
/** Storing is one batch after the other; the second connection is for partitions and readiness. */
const WRITE_CONNECTIONS_MAX = 2;
const READ_CONNECTIONS_MAX = 4;
/** How long a stopping service tries to store what was delivered to it. Then its successor does. */
const LAST_BATCH_MS = 3_000;

export interface MeteringService extends Service {
  readonly grpcPort: number;
  readonly httpPort: number;
}

export async function startMetering(config: MeteringConfig, log: Log): Promise<MeteringService> {
  const life = openLife(log);
  try {
    return await open(config, log, life);
  } catch (error) {
    await life.close();
    throw error;
  }
}

async function open(config: MeteringConfig, log: Log, life: Life): Promise<MeteringService> {
  const { host, serviceKey, databaseUrl: url, batchMax, batchWaitMs, lagMax } = config;
  const metrics = createMetrics();
  const ops = createOps(metrics, life);

  // Two pools: reports, however many and slow, never keep calls from being metered.
  const pool = await openPool({ url, max: WRITE_CONNECTIONS_MAX, name: NAME, life, log });
  const readPool = await openPool({ url, max: READ_CONNECTIONS_MAX, name: `${NAME}-read`, life, log });
  await migrate({ pool, schema: "metering", directory: join(import.meta.dirname, "../migrations"), log });
  const partitions = await openPartitions({ pool, schema: "metering", table: "calls", log });

  const bus = await connectBus({ url: config.natsUrl, name: NAME, prefix: config.busPrefix, log, signal: life.signal });
  life.onClose("nats", 5_000, () => bus.drain());

  const { port: grpcPort } = await startGrpcServer({
    host,
    port: config.grpcPort,
    serviceKey,
    services: [
      {
        definition: meteringV1.MeteringServiceService,
        implementation: createMeteringHandlers({ pool: readPool, log }),
      },
    ],
    life,
  });
  const httpPort = await startOpsServer({ host, port: config.httpPort, ops, life });

  const givingUp = new AbortController();
  const store = createEventHandler({ pool, partitions, metrics });
  const consumer = await consumeEvents(bus, {
    durable: NAME,
    kind: "call",
    batchMax,
    batchWaitMs,
    store,
    signal: givingUp.signal,
  });
  life.onClose("events", LAST_BATCH_MS + 1_000, async () => {
    const timer = setTimeout(() => givingUp.abort(), LAST_BATCH_MS);
    await consumer.stop();
    clearTimeout(timer);
  });
  watchRecording({
    name: NAME,
    lagMax,
    readLag: () => readLag(bus, NAME),
    busProblem: () => bus.problem(),
    pool,
    consumer,
    ops,
    life,
  });

  return { grpcPort, httpPort, close: () => life.close() };
}
