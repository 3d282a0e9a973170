import { join } from "node:path";
import { connectBus, createEventPublisher } from "@tollgate/bus";
import { meteringV1 } from "@tollgate/contracts";
import {
  answerAsPart,
  createMetrics,
  createOps,
  keepOutbox,
  lead,
  type Life,
  type Log,
  migrate,
  openLife,
  openPartitions,
  openPool,
  type Pool,
  recordEvents,
  type Recorder,
  type Service,
  startGrpcServer,
  startOpsServer,
  watchRecorder,
} from "@tollgate/service";
import type { MeteringConfig } from "./config.ts";
import { followFile } from "./handlers/desired-file.ts";
import { createCallStore, prepareCalls } from "./handlers/events.ts";
import { createMeteringHandlers } from "./handlers/grpc.ts";
import { keepRating } from "./handlers/ratings.ts";
import { keepRetention } from "./handlers/retention.ts";
import { restoreRates } from "./handlers/restoring.ts";
import { createStateService } from "./handlers/state.ts";
import { readPublishedMs } from "./store/position.ts";

const NAME = "metering";
/** One each for the leader's lock, recording, partitions, a rating, the outbox and readiness. */
const WRITE_CONNECTIONS_MAX = 6;
const READ_CONNECTIONS_MAX = 4;
/** Changes that are published at a time are far fewer. */
const EVENTS_WAITING_MAX = 1_000;
const EVENT_TIMEOUT_MS = 5_000;

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

  answerAsPart({ name: NAME, bus, ops, pool });
  await restoreRates({ bus, pool, signal: life.signal, log });
  const leadership = lead({ pool, name: NAME, life, log });
  const store = createCallStore(partitions);
  const recorder = recordEvents({
    bus,
    pool,
    leadership,
    ops,
    log,
    name: NAME,
    kind: "call",
    batchMax,
    batchWaitMs,
    prepare: prepareCalls,
    store,
  });
  const readAsOf = (): Promise<number> => recordedMs(recorder, readPool);
  leadership.run("ratings", (signal) => keepRating({ pool, recordedMs: readAsOf, signal, log }));
  const file = await followFile({ pool, configFile: config.configFile, life, log });
  keepRetention({ pool, leadership, file, intervalMs: config.retentionMs, log });
  const events = createEventPublisher(bus, { waitingMax: EVENTS_WAITING_MAX, timeoutMs: EVENT_TIMEOUT_MS });
  keepOutbox({ pool, schema: "metering", events, metrics, life, log });
  watchRecorder({ name: NAME, lagMax, recorder, leadership, bus, pool, ops, life });

  const implementation = createMeteringHandlers({ pool: readPool, readAsOf, log });
  const { port: grpcPort } = await startGrpcServer({
    host,
    port: config.grpcPort,
    serviceKey,
    services: [
      { definition: meteringV1.MeteringServiceService, implementation },
      createStateService({ pool: readPool, log }),
    ],
    life,
  });
  const httpPort = await startOpsServer({ host, port: config.httpPort, ops, life });

  return { grpcPort, httpPort, close: () => life.close() };
}

/** Unix milliseconds up to which all calls are recorded: now, or when the stream took the last one that is. */
async function recordedMs(recorder: Recorder, pool: Pool): Promise<number> {
  const nowMs = Date.now();
  const lag = await recorder.readLag().catch(() => undefined);
  return lag === 0 ? nowMs : readPublishedMs(pool);
}
