import { join } from "node:path";
import { connectBus, consumeEvents, readLag } from "@tollgate/bus";
import { auditV1 } from "@tollgate/contracts";
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
import type { AuditConfig } from "./config.ts";
import { createEventHandler } from "./handlers/events.ts";
import { createAuditHandlers } from "./handlers/grpc.ts";

const NAME = "audit";
/** Storing is one batch after the other; the second connection is for partitions and readiness. */
const WRITE_CONNECTIONS_MAX = 2;
const READ_CONNECTIONS_MAX = 4;
/** How long a stopping service tries to store what was delivered to it. Then its successor does. */
const LAST_BATCH_MS = 3_000;

export interface AuditService extends Service {
  readonly grpcPort: number;
  readonly httpPort: number;
}

export async function startAudit(config: AuditConfig, log: Log): Promise<AuditService> {
  const life = openLife(log);
  try {
    return await open(config, log, life);
  } catch (error) {
    await life.close();
    throw error;
  }
}

async function open(config: AuditConfig, log: Log, life: Life): Promise<AuditService> {
  const { host, serviceKey, databaseUrl: url, batchMax, batchWaitMs, lagMax } = config;
  const metrics = createMetrics();
  const ops = createOps(metrics, life);

  // Two pools: searches, however many and slow, never keep events from being stored.
  const pool = await openPool({ url, max: WRITE_CONNECTIONS_MAX, name: NAME, life, log });
  const readPool = await openPool({ url, max: READ_CONNECTIONS_MAX, name: `${NAME}-read`, life, log });
  await migrate({ pool, schema: "audit", directory: join(import.meta.dirname, "../migrations"), log });
  const partitions = await openPartitions({ pool, schema: "audit", table: "events", log });

  const bus = await connectBus({ url: config.natsUrl, name: NAME, prefix: config.busPrefix, log, signal: life.signal });
  life.onClose("nats", 5_000, () => bus.drain());

  const { port: grpcPort } = await startGrpcServer({
    host,
    port: config.grpcPort,
    serviceKey,
    services: [
      { definition: auditV1.AuditServiceService, implementation: createAuditHandlers({ pool: readPool, log }) },
    ],
    life,
  });
  const httpPort = await startOpsServer({ host, port: config.httpPort, ops, life });

  const givingUp = new AbortController();
  const store = createEventHandler({ pool, partitions, metrics });
  const consumer = await consumeEvents(bus, { durable: NAME, batchMax, batchWaitMs, store, signal: givingUp.signal });
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
