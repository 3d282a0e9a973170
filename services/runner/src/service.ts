import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Bus, connectBus, createEventPublisher, createReplySender, subscribeAnswers } from "@tollgate/bus";
import type { CallEnvelope } from "@tollgate/contracts";
import { createSealers } from "@tollgate/mcp";
import {
  answerAsPart,
  createMetrics,
  createOps,
  type Life,
  type Log,
  type Metrics,
  openLife,
  type Ops,
  type Service,
  startOpsServer,
} from "@tollgate/service";
import type { RunnerConfig } from "./config.ts";
import { openContainment } from "./containment/containment.ts";
import { createCallCounts, type ServerCallCounts } from "./domain/call-counts.ts";
import type { Ending } from "./domain/outcome.ts";
import { createPools, type Pools } from "./handlers/assignments.ts";
import { createCallHandler } from "./handlers/calls.ts";
import { type Consumers, createConsumers } from "./handlers/consumers.ts";
import { createHealth } from "./handlers/health.ts";
import { createInterests, createUpdates } from "./handlers/interests.ts";
import { createParkedCalls } from "./handlers/parked-calls.ts";
import { createQuestions } from "./handlers/questions.ts";
import { connectRegistry, type Registry } from "./handlers/registry.ts";
import { createServerEvents } from "./handlers/server-events.ts";
import { createSessionListener } from "./handlers/session-listener.ts";
import { createCommandResolver } from "./launch/command.ts";
import { observePools } from "./pool/metrics.ts";

const EVENTS_WAITING_MAX = 20_000;
/** How long an outcome waits for a stream that does not answer. The call's message stays on CALLS meanwhile. */
const EVENTS_TIMEOUT_MS = 120_000;
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
  await mkdir(join(stateDir, "servers"), { recursive: true });
  const containment = await openContainment({ ...config, stateDir, log });
  life.onClose("containment", 5_000, () => containment.close());

  const metrics = createMetrics();
  const ops = createOps(metrics, life);
  const bus = await openBus(config, { runner, ops, life, log });

  const registry = connectRegistry(config, { runner, life, log });
  const questions = createQuestions({ runner, onNotice: (session, frame) => pools.tell(session, frame), log });
  life.onClose("open questions", 100, () => questions.close());
  const events = createEventPublisher(bus, { waitingMax: EVENTS_WAITING_MAX, timeoutMs: EVENTS_TIMEOUT_MS });
  const serverEvents = createServerEvents({ runner, events, log });
  life.onClose("events of servers", 2_000, () => serverEvents.close());
  const pools = createPools({
    config,
    listenerOf: createSessionListener({ bus, questions, log }),
    newsOf: serverEvents.of,
    updatesOf: createUpdates(bus),
    resolveCommand: createCommandResolver({ installDir: join(stateDir, "servers"), baseEnv: config.baseEnv }),
    containment,
    log,
    report: (report) => registry.report(report),
  });
  life.onClose("server processes", 4_000, () => pools.close());
  observePools(metrics, () => pools.all());
  const poolOf = (server: string) => pools.get(server);

  const sealers = createSealers(config.serviceKey);
  const parked = createParkedCalls({ runner, sealers, limits: config });
  life.onClose("parked calls", 100, () => parked.close());
  const callCounts = createCallCounts();
  const calls = createCallHandler({
    runner,
    bus,
    events,
    replies: createReplySender(bus),
    poolOf,
    questions,
    parked,
    sealers,
    keys: config.recordingKeys,
    onEnded: observeCalls(metrics, callCounts, { running: () => calls.running, processes: () => pools.processes }),
    life,
    log,
  });
  life.onClose("calls under way", FINISH_TIMEOUT_MS, () => calls.idle());

  subscribeAnswers(bus, runner, ({ envelope, frame }) => {
    if (envelope.ended) pools.endSession(envelope.session);
    else questions.receive(envelope, frame);
  });
  const interests = createInterests({ bus, poolOf, life });
  const health = createHealth({ runner, bus, poolOf, callCounts });
  const consumers = createConsumers({
    runner,
    bus,
    onDelivery: (delivery) => calls.take(delivery),
    onCancel: (callId) => calls.cancel(callId),
    onFollowed: (group) => (interests.followGroup(group), health.followGroup(group)),
    life,
    log,
  });
  followAssignments({ registry, pools, consumers, ops });
  const httpPort = await startOpsServer({ host: config.host, port: config.httpPort, ops, life });
  return { httpPort, close: () => life.close() };
}

async function openBus(
  { natsUrl: url, busPrefix: prefix }: RunnerConfig,
  { runner, ops, life, log }: { runner: string; ops: Ops; life: Life; log: Log },
): Promise<Bus> {
  const bus = await connectBus({ url, name: runner, prefix, log, signal: life.signal });
  life.onClose("nats", 5_000, () => bus.drain());
  ops.checks.set("nats", () => bus.problem());
  answerAsPart({ name: "runner", bus, ops });
  return bus;
}

/** It is ready when it has been told what to run. */
function followAssignments(parts: { registry: Registry; pools: Pools; consumers: Consumers; ops: Ops }): void {
  const { registry, pools, consumers, ops } = parts;
  let assigned = false;
  ops.checks.set("assignments", () => (assigned ? undefined : "no assignments from the registry yet"));
  registry.follow(({ assignments, groups }) => {
    assigned = true;
    pools.apply(assignments);
    for (const group of groups) consumers.follow(group);
  });
}

function observeCalls(
  metrics: Metrics,
  callCounts: ServerCallCounts,
  counts: { running: () => number; processes: () => number },
) {
  const ofServer = ["server"];
  const total = metrics.counter("tollgate_runner_calls_total", "Calls ended.", ["server", "outcome"]);
  const seconds = metrics.histogram("tollgate_runner_call_seconds", "Time that calls spent in their server.", ofServer);
  const retried = metrics.counter("tollgate_runner_call_retries_total", "Calls tried again.", ofServer);
  const fellBack = metrics.counter(
    "tollgate_runner_call_fallbacks_total",
    "Calls answered by another server or by an earlier result.",
    ofServer,
  );
  const running = metrics.gauge("tollgate_runner_calls_running", "Calls under way.");
  const processes = metrics.gauge("tollgate_runner_processes", "Server processes.");
  return ({ facts: { server } }: CallEnvelope, ending: Ending): void => {
    const { outcome, startedAt, endedAt, coldStart, retries = 0, fallback } = ending;
    const durationMs = startedAt === undefined ? undefined : endedAt - startedAt;
    callCounts.add(server, { outcome, coldStart, retries, fellBack: fallback !== undefined, durationMs });
    total.inc({ server, outcome });
    if (durationMs !== undefined) seconds.observe({ server }, durationMs / 1000);
    if (retries > 0) retried.inc({ server }, retries);
    if (fallback !== undefined) fellBack.inc({ server });
    running.set(counts.running());
    processes.set(counts.processes());
  };
}
