import { hostname } from "node:os";
import { fileURLToPath } from "node:url";
import { connectBus, createEventPublisher } from "@tollgate/bus";
import { policyV1 } from "@tollgate/contracts";
import { secretsFrom } from "@tollgate/desired-state";
import {
  answerAsPart,
  createMetrics,
  createOps,
  keepOutbox,
  type Life,
  type Log,
  migrate,
  openLife,
  openPool,
  type Service,
  startGrpcServer,
  startOpsServer,
} from "@tollgate/service";
import { createAccessTokens } from "./handlers/access-tokens.ts";
import { keepSwept } from "./handlers/approvals.ts";
import { openAuthority } from "./handlers/authority.ts";
import { createBudgetAlerts } from "./handlers/budgets.ts";
import type { PolicyConfig } from "./config.ts";
import { followFile } from "./handlers/desired-file.ts";
import { openSpending } from "./clients/metering.ts";
import { grpcHandlers } from "./handlers/grpc.ts";
import { openPermits } from "./handlers/limits.ts";
import { createOpa } from "./handlers/opa.ts";
import { policyMetrics } from "./metrics.ts";
import { createStateService } from "./handlers/state.ts";
import { createReplicas } from "./handlers/replicas.ts";
import { keepTokenUses } from "./handlers/token-uses.ts";
import { createWatchHub } from "./handlers/watch.ts";
import { keepWebhooks } from "./handlers/webhooks.ts";
import { openSealedArguments } from "./store/sealed-arguments.ts";

/** One is for replicas to hear of each other, one for the outbox. */
const POOL_MAX = 6;
/** How long the stream may take for one event of the outbox, before it is tried again. */
const EVENT_TIMEOUT_MS = 2_500;
const MIGRATIONS = fileURLToPath(new URL("../migrations", import.meta.url));

export interface PolicyService extends Service {
  readonly grpcPort: number;
  readonly httpPort: number;
}

export async function startPolicy(config: PolicyConfig, log: Log): Promise<PolicyService> {
  const life = openLife(log);
  try {
    return await compose(config, log, life);
  } catch (error) {
    await life.close();
    throw error;
  }
}

async function compose(config: PolicyConfig, log: Log, life: Life): Promise<PolicyService> {
  const allMetrics = createMetrics();
  const metrics = policyMetrics(allMetrics);
  const ops = createOps(allMetrics, life);

  const pool = await openPool({ url: config.databaseUrl, max: POOL_MAX, name: "policy", life, log });
  await migrate({ pool, schema: "policy", directory: MIGRATIONS, log });

  const { natsUrl, busPrefix: prefix } = config;
  const bus = await connectBus({ url: natsUrl, name: "policy", prefix, log, signal: life.signal });
  life.onClose("nats", 5_000, () => bus.drain());
  const events = createEventPublisher(bus, { waitingMax: 1, timeoutMs: EVENT_TIMEOUT_MS });
  answerAsPart({ name: "policy", bus, ops, pool });
  keepOutbox({ pool, schema: "policy", events, metrics: allMetrics, life, log });

  const replicas = createReplicas({ pool, life, log });
  const tokenUses = keepTokenUses({ pool, life, log });
  const { mayGrant } = replicas;
  const hub = createWatchHub({ mayGrant, onUsed: (used) => tokenUses.note(used), life, log, metrics: allMetrics });
  const authority = await openAuthority({ pool, hub, replicas, metrics, log });
  ops.checks.set("state", () => replicas.problem());
  const opa = createOpa({ configFile: config.configFile, metrics, life, log });
  await followFile({ config, authority, opa, metrics, life, log });

  keepSwept({ pool, life, log });
  const sealed = openSealedArguments(config.serviceKey);
  const budgets = () => authority.current().limits.records.filter(({ budget }) => budget !== undefined);
  const { meteringAddress: address, serviceKey } = config;
  const alerts = createBudgetAlerts({ pool, log });
  const spending = openSpending({ address, serviceKey, budgets, onFigures: alerts.look, life, log });
  keepWebhooks({ pool, authority, readSecret: secretsFrom(config.env), metrics, life, log });
  const permits = openPermits({ pool, authority, spending, life, log });
  const accessTokens = createAccessTokens({ signal: life.signal, log });
  const dependencies = { sealed, pool, authority, accessTokens, tokenUses, hub, permits, opa, metrics, log };
  const { port: grpcPort } = await startGrpcServer({
    host: config.host,
    port: config.grpcPort,
    serviceKey: config.serviceKey,
    services: [
      { definition: policyV1.PolicyServiceService, implementation: grpcHandlers(dependencies) },
      createStateService(dependencies, config.env),
    ],
    life,
  });
  await replicas.join({ place: `${hostname()}/${config.host}:${grpcPort}`, authority, hub });
  const httpPort = await startOpsServer({ host: config.host, port: config.httpPort, ops, life });
  log.info({ grpcPort, httpPort }, "policy is listening");
  return { grpcPort, httpPort, close: () => life.close() };
}
