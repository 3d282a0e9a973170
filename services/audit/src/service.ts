import { join } from "node:path";
import { connectBus, createEventPublisher } from "@tollgate/bus";
import { auditV1 } from "@tollgate/contracts";
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
  recordEvents,
  type Service,
  startGrpcServer,
  startOpsServer,
  watchRecorder,
} from "@tollgate/service";
import type { AuditConfig } from "./config.ts";
import { keepCheckpoints } from "./handlers/checkpoints.ts";
import { followAuditFile } from "./handlers/desired-file.ts";
import { createEventStore, prepareEvents } from "./handlers/events.ts";
import { keepExports } from "./handlers/exports.ts";
import { createAuditHandlers } from "./handlers/grpc.ts";
import { keepReplays } from "./handlers/replays.ts";
import { keepRetention } from "./handlers/retention.ts";
import { openSigning } from "./handlers/signing.ts";

const NAME = "audit";
/** Who leads holds one for good, one stores, and one signs; the others are for partitions, positions and readiness. */
const WRITE_CONNECTIONS_MAX = 6;
const READ_CONNECTIONS_MAX = 4;

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
  const { host, serviceKey, signingSecret: secret, recordingKeys, databaseUrl: url } = config;
  const { batchMax, batchWaitMs, lagMax } = config;
  const metrics = createMetrics();
  const ops = createOps(metrics, life);

  // Two pools: searches, however many and slow, never keep events from being stored.
  const pool = await openPool({ url, max: WRITE_CONNECTIONS_MAX, name: NAME, life, log });
  const readPool = await openPool({ url, max: READ_CONNECTIONS_MAX, name: `${NAME}-read`, life, log });
  await migrate({ pool, schema: "audit", directory: join(import.meta.dirname, "../migrations"), log });
  const partitions = await openPartitions({ pool, schema: "audit", table: "events", log });
  const signing = await openSigning({ pool, secret });

  const bus = await connectBus({ url: config.natsUrl, name: NAME, prefix: config.busPrefix, log, signal: life.signal });
  life.onClose("nats", 5_000, () => bus.drain());

  const file = await followAuditFile({ path: config.configFile, env: config.env ?? {}, life, log });
  const events = createEventPublisher(bus, { waitingMax: 10, timeoutMs: 2_500 });
  answerAsPart({ name: NAME, bus, ops, pool });
  keepOutbox({ pool, schema: "audit", events, metrics, life, log });

  const implementation = createAuditHandlers({ pool, readPool, bus, file, signing, secret, recordingKeys, log });
  const { port: grpcPort } = await startGrpcServer({
    host,
    port: config.grpcPort,
    serviceKey,
    services: [{ definition: auditV1.AuditServiceService, implementation }],
    life,
  });
  const httpPort = await startOpsServer({ host, port: config.httpPort, ops, life });

  const leadership = lead({ pool, name: NAME, life, log });
  const store = createEventStore(partitions);
  const reading = { batchMax, batchWaitMs, prepare: prepareEvents, store };
  const recorder = recordEvents({ bus, pool, leadership, ops, log, name: NAME, ...reading });
  keepCheckpoints({ pool, leadership, signing, tailsMs: config.checkpointMs, metrics, log });
  keepExports({ bus, pool, leadership, file, metrics, log });
  keepReplays({ pool, readPool, leadership, file, log });
  const { retentionMs: intervalMs } = config;
  keepRetention({ pool, leadership, events, signing, file, intervalMs, metrics, log });
  watchRecorder({ name: NAME, lagMax, recorder, leadership, bus, pool, ops, life });

  return { grpcPort, httpPort, close: () => life.close() };
}
