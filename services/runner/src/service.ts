import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import {
  type CallConsumer,
  connectBus,
  consumeCalls,
  createEventPublisher,
  createReplySender,
  subscribeCancels,
} from "@tollgate/bus";
import { type CallEnvelope, registryV1 } from "@tollgate/contracts";
import {
  callUnary,
  createMetrics,
  createOps,
  followStream,
  type Life,
  type Log,
  type Metrics,
  openGrpcClient,
  openLife,
  type Service,
  serviceMetadata,
  startOpsServer,
} from "@tollgate/service";
import type { RunnerConfig } from "./config.ts";
import type { Ending } from "./domain/outcome.ts";
import { createPools } from "./handlers/assignments.ts";
import { createCallHandler } from "./handlers/calls.ts";
import { createCommandResolver } from "./upstream/command.ts";
import { openLedger } from "./upstream/process-ledger.ts";

const EVENTS_WAITING_MAX = 20_000;
/** How long an outcome waits for a stream that does not answer. The call's message stays on CALLS meanwhile. */
const EVENTS_TIMEOUT_MS = 120_000;
const REPORT_TIMEOUT_MS = 5_000;
const FINISH_TIMEOUT_MS = 5_000;

export interface RunningRunner extends Service {
  readonly httpPort: number;
}

export async function startRunner(config: RunnerConfig, log: Log): Promise<RunningRunner> {
  const life = openLife(log);
  try {
    return await compose(config, log, life);
  } catch (error) {
    await life.close();
    throw error;
  }
}

async function compose(config: RunnerConfig, log: Log, life: Life): Promise<RunningRunner> {
  const runner = `r-${randomBytes(5).toString("hex")}`;
  const stateDir = resolve(config.stateDir);
  const installDir = join(stateDir, "servers");
  await mkdir(installDir, { recursive: true });
  const { ledger, ended } = openLedger(stateDir);
  if (ended > 0) log.warn({ groups: ended }, "ended server processes that an earlier runner had left");

  const metrics = createMetrics();
  const ops = createOps(metrics, life);
  const bus = await connectBus({
    url: config.natsUrl,
    name: runner,
    prefix: config.busPrefix,
    log,
    signal: life.signal,
  });
  life.onClose("nats", 5_000, () => bus.drain());
  ops.checks.set("nats", () => bus.problem());

  const registry = openGrpcClient(registryV1.RegistryServiceClient, {
    address: config.registryAddress,
    name: "registry",
    life,
  });
  const metadata = serviceMetadata(config.serviceKey);
  const pools = createPools({
    config,
    resolveCommand: createCommandResolver({ installDir, baseEnv: config.baseEnv }),
    ledger,
    log,
    report: async (report) => {
      const request = { ...report, runner };
      await callUnary(registry.reportServer.bind(registry), request, {
        metadata,
        timeoutMs: REPORT_TIMEOUT_MS,
        service: "registry",
      });
    },
  });
  life.onClose("server processes", 4_000, () => pools.close());

  const calls = createCallHandler({
    runner,
    bus,
    events: createEventPublisher(bus, { waitingMax: EVENTS_WAITING_MAX, timeoutMs: EVENTS_TIMEOUT_MS }),
    replies: createReplySender(bus),
    poolOf: (server) => pools.get(server),
    onEnded: observeCalls(metrics, { running: () => calls.running, processes: () => pools.processes }),
    life,
    log,
  });
  life.onClose("calls under way", FINISH_TIMEOUT_MS, () => calls.idle());

  const consumers = new Map<string, Promise<CallConsumer>>();
  life.onClose("consumers", 2_000, () =>
    Promise.allSettled([...consumers.values()].map(async (each) => (await each).stop())),
  );
  async function follow(group: string): Promise<void> {
    if (consumers.has(group)) return;
    const consumer = consumeCalls(bus, group, (delivery) => calls.take(delivery));
    consumers.set(group, consumer);
    await consumer;
    subscribeCancels(bus, group, (callId) => calls.cancel(callId));
    log.info({ group }, "taking calls");
  }

  let assigned = false;
  ops.checks.set("assignments", () => (assigned ? undefined : "no assignments from the registry yet"));
  followStream({
    name: "registry assignments",
    open: () => registry.watchAssignments({ runner, groups: [...config.groups] }, metadata),
    onMessage: (message: registryV1.WatchAssignmentsResponse) => {
      assigned = true;
      pools.apply(message.assignments);
      for (const group of message.groups)
        follow(group).catch((error: unknown) => {
          consumers.delete(group);
          log.error({ err: error, group }, "calls of a group cannot be taken");
        });
    },
    signal: life.signal,
    log,
  });

  const httpPort = await startOpsServer({ host: config.host, port: config.httpPort, ops, life });
  return { httpPort, close: () => life.close() };
}

function observeCalls(metrics: Metrics, counts: { running: () => number; processes: () => number }) {
  const total = metrics.counter("tollgate_runner_calls_total", "Calls ended.", ["server", "outcome"]);
  const seconds = metrics.histogram("tollgate_runner_call_seconds", "Time that calls spent in their server.", [
    "server",
  ]);
  const running = metrics.gauge("tollgate_runner_calls_running", "Calls under way.");
  const processes = metrics.gauge("tollgate_runner_processes", "Server processes.");
  return ({ facts: { server } }: CallEnvelope, { outcome, startedAt, endedAt }: Ending): void => {
    total.inc({ server, outcome });
    if (startedAt !== undefined) seconds.observe({ server }, (endedAt - startedAt) / 1000);
    running.set(counts.running());
    processes.set(counts.processes());
  };
}
