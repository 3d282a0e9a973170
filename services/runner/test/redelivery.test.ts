import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Bus, connectBus, createEventPublisher, createReplySender, type Delivery } from "@tollgate/bus";
import { createSealers } from "@tollgate/mcp";
import { openLife } from "@tollgate/service";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { configSchema } from "../src/config.ts";
import { toServerSpec } from "../src/domain/server-spec.ts";
import { type CallHandler, createCallHandler } from "../src/handlers/calls.ts";
import { createParkedCalls } from "../src/handlers/parked-calls.ts";
import { createQuestions } from "../src/handlers/questions.ts";
import { createCommandResolver } from "../src/launch/command.ts";
import { openPool, type Pool } from "../src/pool/pool.ts";
import { createSpawning } from "../src/pool/spawning.ts";
import { useContainment } from "./containment-fixture.ts";
import { assignment } from "./assigning-registry.ts";
import { useTempDir } from "./temp-dir.ts";
import { NO_NEWS, SETTINGS } from "./test-config.ts";
import { type CallOptions, useTraffic } from "./traffic.ts";

const infra = useInfrastructure();
const dir = useTempDir();
const traffic = useTraffic(infra);
const countFile = join(dir, "count");
const stopping = new AbortController();
let pool: Pool;
let life: ReturnType<typeof openLife>;
/** A runner that has begun nothing yet. */
let handler: CallHandler;

const config = configSchema.parse(SETTINGS);

const sealers = createSealers("0123456789abcdef");

beforeAll(async () => {
  pool = openPool({
    spec: toServerSpec(assignment({ env: { FIXTURE_COUNT_FILE: countFile }, clientCapabilities: [] })),
    generation: 0,
    news: NO_NEWS,
    spawning: createSpawning(config),
    config: { ...config, baseEnv: process.env },
    resolveCommand: createCommandResolver({ installDir: dir, baseEnv: process.env }),
    containment: await useContainment(dir),
    signal: stopping.signal,
    log: testLog,
    report: () => undefined,
    listenerOf: () => ({ onNotice: () => undefined, onQuestion: () => undefined }),
    onResourceUpdated: () => undefined,
  });
});
afterAll(async () => {
  stopping.abort();
  await pool.close();
});
beforeEach(() => {
  writeFileSync(countFile, "");
  life = openLife(testLog);
  handler = createHandler(traffic.bus);
});
afterEach(() => life.close());

function createHandler(bus: Bus, over = pool): CallHandler {
  return createCallHandler({
    runner: "r-test",
    bus,
    events: createEventPublisher(bus, { waitingMax: 1_000, timeoutMs: 5_000 }),
    replies: createReplySender(bus),
    poolOf: () => over,
    questions: createQuestions({ onNotice: () => undefined, runner: "r-test", log: testLog }),
    parked: createParkedCalls({ runner: "r-test", sealers, limits: config }),
    sealers,
    keys: config.recordingKeys,
    onEnded: () => undefined,
    life,
    log: testLog,
  });
}

type Call = ReturnType<typeof traffic.call>;

/** A message as the stream hands it over. */
function deliver(calls: Call[], fields: Partial<Delivery> = {}): Delivery & { readonly acknowledged: number } {
  let acknowledged = 0;
  return {
    calls,
    deliveryCount: 1,
    storedAt: Date.now(),
    extend: () => undefined,
    acknowledge: () => (acknowledged += 1),
    get acknowledged() {
      return acknowledged;
    },
    ...fields,
  };
}

const counting = (n: unknown, options: CallOptions & { ms?: number } = {}) =>
  traffic.call("count", { ...options, args: { n, ms: options.ms ?? 0 } });
const executions = () =>
  readFileSync(countFile, "utf8")
    .split("\n")
    .filter((line) => line !== "");
const done = (delivery: { readonly acknowledged: number }) => eventually(() => expect(delivery.acknowledged).toBe(1));

describe("to the same runner", () => {
  test("of calls that have ended: acknowledged, nothing runs", async () => {
    const calls = [counting(1), counting(2)];
    const first = deliver(calls);
    handler.take(first);
    await done(first);
    const again = deliver(calls, { deliveryCount: 2 });
    handler.take(again);
    expect(again.acknowledged).toBe(1);
    await handler.idle();
    expect(executions()).toEqual(["1", "2"]);
    for (const { envelope } of calls) expect(await traffic.events(envelope.id)).toHaveLength(1);
  });

  test("of calls that are running: left alone", async () => {
    const calls = [counting(1, { ms: 700 }), counting(2)];
    const first = deliver(calls);
    handler.take(first);
    await eventually(() => expect(executions()).toHaveLength(2));
    const again = deliver(calls, { deliveryCount: 2 });
    handler.take(again);
    expect(again.acknowledged).toBe(0);
    await done(first);
    expect(again.acknowledged).toBe(0);
    expect(executions()).toHaveLength(2);
    for (const { envelope } of calls) expect(await traffic.outcome(envelope.id)).toMatchObject({ outcome: "ok" });
  });
});

describe("to another runner", () => {
  test("what may not run twice ends as unknown", async () => {
    const call = counting(1);
    const delivery = deliver([call], { deliveryCount: 2 });
    handler.take(delivery);
    expect(await traffic.answer(call.envelope.id)).toMatchObject({
      id: 1,
      error: { code: -32009, data: { code: "outcome_unknown", callId: call.envelope.id } },
    });
    await done(delivery);
    const event = await traffic.outcome(call.envelope.id);
    expect(event).toMatchObject({ outcome: "unknown", reason: expect.stringContaining("may have run") });
    expect(event).not.toHaveProperty("startedAt");
    expect(executions()).toEqual([]);
  });

  test("what may run again does, three times at the most", async () => {
    for (const [deliveryCount, outcome] of [
      [2, "ok"],
      [3, "ok"],
      [4, "unknown"],
    ] as const) {
      const call = counting(deliveryCount, { retrySafe: true });
      const delivery = deliver([call], { deliveryCount });
      handler.take(delivery);
      await done(delivery);
      expect(await traffic.outcome(call.envelope.id)).toMatchObject({ outcome });
    }
    expect(executions()).toEqual(["2", "3"]);
  });

  test("what may run again does not when it may have come to a fallback that may not", async () => {
    const decision = { allow: true, policies: [], revision: 1, reason: "" };
    const fallbacks = [{ server: "spare", tool: "count", retrySafe: false, decision }];
    const call = counting(1, { retrySafe: true, fallbacks });
    const delivery = deliver([call], { deliveryCount: 2 });
    handler.take(delivery);
    await done(delivery);
    expect(await traffic.outcome(call.envelope.id)).toMatchObject({ outcome: "unknown" });
    expect(executions()).toEqual([]);
  });

  test("a stream goes on at places that the first runner cannot have given", async () => {
    const call = traffic.call("progress", { retrySafe: true, args: { steps: 1 } });
    const delivery = deliver([call], { deliveryCount: 2 });
    handler.take(delivery);
    await done(delivery);
    await traffic.answer(call.envelope.id);
    const places = traffic.replied(call.envelope.id).map(({ envelope }) => envelope.place);
    expect(places).toEqual([1_000_001, 1_000_002]);
  });

  test("what has its outcome already gets no second one, and its client an answer", async () => {
    const settled = counting("settled", { retrySafe: true });
    const lost = counting("lost");
    const earlier = deliver([settled]);
    handler.take(earlier);
    await done(earlier);

    const other = createHandler(traffic.bus);
    const delivery = deliver([settled, lost], { deliveryCount: 2 });
    other.take(delivery);
    await done(delivery);
    expect(await traffic.events(settled.envelope.id)).toMatchObject([{ outcome: "ok" }]);
    expect(await traffic.events(lost.envelope.id)).toMatchObject([{ outcome: "unknown" }]);
    await eventually(() => expect(traffic.replies(settled.envelope.id)).toHaveLength(2));
    expect(executions()).toEqual(['"settled"']);
  });

  test("a message from before NATS itself was away counts as delivered before", async () => {
    const reconnected = createHandler({ ...traffic.bus, reconnectedAt: () => Date.now() });
    const before = counting("before");
    const first = deliver([before], { storedAt: Date.now() - 1_000 });
    reconnected.take(first);
    await done(first);
    expect(await traffic.outcome(before.envelope.id)).toMatchObject({ outcome: "unknown" });
    const after = counting("after");
    const second = deliver([after], { storedAt: Date.now() + 1_000 });
    reconnected.take(second);
    await done(second);
    expect(executions()).toEqual(['"after"']);
  });
});

test("calls that come by the hundred begin by turns of their tenants", async () => {
  const begun: string[] = [];
  const watched: Pool = {
    ...pool,
    acquire(caller) {
      begun.push(caller.facts.tenant);
      return pool.acquire(caller);
    },
  };
  const crowded = createHandler(traffic.bus, watched);
  const messageOf = (tenant: string, count: number) =>
    deliver(Array.from({ length: count }, () => traffic.call("echo", { tenant })));
  const deliveries = [...Array.from({ length: 8 }, () => messageOf("flood", 64)), messageOf("other", 3)];
  for (const delivery of deliveries) crowded.take(delivery);
  expect(begun).toHaveLength(64);
  for (const delivery of deliveries) await done(delivery);
  expect(begun).toHaveLength(8 * 64 + 3);
  expect(begun.lastIndexOf("other")).toBeLessThan(2 * 64);
});

test("while AUDIT cannot be read nothing is decided; the next delivery is", async () => {
  const { bus } = traffic;
  const call = counting(1);
  await bus.jsm.streams.delete(bus.subjects.streams.audit);
  const vain = deliver([call], { deliveryCount: 2 });
  handler.take(vain);
  await handler.idle();
  expect(vain.acknowledged).toBe(0);
  expect(traffic.replies(call.envelope.id)).toEqual([]);

  const options = { url: infra.natsUrl, name: "again", prefix: infra.busPrefix, log: testLog, signal: life.signal };
  const repaired = await connectBus(options);
  life.onClose("bus", 5_000, () => repaired.drain());
  const next = deliver([call], { deliveryCount: 3 });
  handler.take(next);
  await done(next);
  expect(await traffic.outcome(call.envelope.id)).toMatchObject({ outcome: "unknown" });
  expect(executions()).toEqual([]);
});
