import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { connectBus, createEventPublisher } from "@tollgate/bus";
import {
  answerAsPart,
  createMetrics,
  createOps,
  keepOutbox,
  type Log,
  migrate,
  openLife,
  openPool,
  type Service,
  startGrpcServer,
  startOpsServer,
} from "@tollgate/service";
import type { RegistryConfig } from "./config.ts";
import { createEnvelopes } from "./domain/envelope.ts";
import { openCatalogue } from "./handlers/catalogue.ts";
import { followDesiredFile } from "./handlers/desired-file.ts";
import { createEntryService } from "./handlers/entries-grpc.ts";
import { openEntries } from "./handlers/entries.ts";
import { createGrpcService } from "./handlers/grpc.ts";
import { createStateService } from "./handlers/state-grpc.ts";
import { openSecretStores } from "./handlers/secret-stores.ts";
import { createSecretsGrpc } from "./handlers/secrets-grpc.ts";
import { createWatches } from "./handlers/watch.ts";
import { createToolService } from "./handlers/tools-grpc.ts";
import { keepTools } from "./handlers/tool-keeping.ts";
import { createRegistryMetrics } from "./metrics.ts";

const MIGRATIONS = fileURLToPath(new URL("../migrations", import.meta.url));
/** One is for the outbox. */
const CONNECTIONS_MAX = 7;
/** How long the stream may take for one event of the outbox, before it is tried again. */
const EVENT_TIMEOUT_MS = 2_500;

export interface RegistryServer extends Service {
  readonly grpcPort: number;
  readonly httpPort: number;
}

/**
 * @throws {AppError} invalid_argument if the configuration file has mistakes
 */
export async function startRegistry(config: RegistryConfig, log: Log): Promise<RegistryServer> {
  const { host, serviceKey, env, configFile: path } = config;
  const life = openLife(log);
  try {
    const registers = createMetrics();
    const metrics = createRegistryMetrics(registers);
    const ops = createOps(registers, life);
    const pool = await openPool({ url: config.databaseUrl, max: CONNECTIONS_MAX, name: "registry", life, log });
    await migrate({ pool, schema: "registry", directory: MIGRATIONS, log });
    await keepTools({ pool, life, log });

    const { natsUrl: url, busPrefix: prefix } = config;
    const bus = await connectBus({ url, name: "registry", prefix, log, signal: life.signal });
    life.onClose("nats", 5_000, () => bus.drain());
    const events = createEventPublisher(bus, { waitingMax: 1, timeoutMs: EVENT_TIMEOUT_MS });
    answerAsPart({ name: "registry", bus, ops, pool });
    keepOutbox({ pool, schema: "registry", events, metrics: registers, life, log });

    const catalogue = await openCatalogue({ pool, bus, metrics, life, log });
    ops.checks.set("database", catalogue.problem);
    const envelopes = config.secretKeys && createEnvelopes(config.secretKeys, randomBytes);
    const secrets = openSecretStores({ path, env, pool, envelopes, catalogue, life, log });
    const entries = openEntries({ pool, envelopes, secrets, catalogue, life, log });
    await followDesiredFile({ path, env, entries, secrets, metrics, life, log });
    const watches = createWatches({ signal: life.signal, onCount: metrics.setWatchers });

    const services = [
      createGrpcService({ pool, catalogue, entries, watches, metrics, log }),
      createEntryService({ entries, log }),
      createToolService({ pool, catalogue, entries, log }),
      createSecretsGrpc({ pool, envelopes, stores: secrets, catalogue, log }),
      createStateService({ entries, catalogue, env, configFile: path, log }),
    ];
    const grpc = await startGrpcServer({ host, port: config.grpcPort, serviceKey, services, life });
    const httpPort = await startOpsServer({ host, port: config.httpPort, ops, life });
    log.info({ grpcPort: grpc.port, httpPort }, "listening");
    return { grpcPort: grpc.port, httpPort, close: () => life.close() };
  } catch (error) {
    await life.close();
    throw error;
  }
}
