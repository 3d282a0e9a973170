import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openLife } from "@tollgate/service";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RunningRunner } from "../src/service.ts";
import { assignment, type AssigningRegistry, poolOf, startRegistry } from "./assigning-registry.ts";
import { isRunning } from "./processes.ts";
import { startTestRunner } from "./test-runner.ts";
import { useTempDir } from "./temp-dir.ts";
import { useTraffic } from "./traffic.ts";

const infra = useInfrastructure();
const dir = useTempDir();
const traffic = useTraffic(infra);
const life = openLife(testLog);
const errors: unknown[] = [];
const countFile = join(dir, "count");
const env = { FIXTURE_COUNT_FILE: countFile };
let registry: AssigningRegistry;
let runner: RunningRunner;

function start(): Promise<RunningRunner> {
  const log = Object.create(testLog) as typeof testLog;
  log.error = (fields: unknown) => errors.push(fields);
  return startTestRunner({ infra, registry, dir, log });
}

beforeAll(async () => {
  writeFileSync(countFile, "");
  registry = await startRegistry({ serviceKey: infra.serviceKey, life });
  registry.failReports(2);
  registry.assign([assignment({ env }), assignment({ serverId: "absent", type: "command", command: "/no/such" })]);
  runner = await start();
});
afterAll(async () => {
  await runner.close();
  await life.close();
});

const executions = (n: unknown) =>
  readFileSync(countFile, "utf8")
    .split("\n")
    .filter((line) => line === JSON.stringify(n)).length;
const ran = (n: unknown) => eventually(() => expect(executions(n)).toBe(1));
const metrics = async () => (await fetch(`http://127.0.0.1:${runner.httpPort}/metrics`)).text();

test("what it finds out is reported, again when the registry could not take it", async () => {
  await eventually(() =>
    expect(Object.fromEntries(registry.reports.map((each) => [each.serverId, each]))).toMatchObject({
      fixture: {
        status: "ready",
        era: "legacy",
        reason: "",
        toolDefinitions: expect.arrayContaining([expect.stringContaining('"echo"')]),
      },
      absent: { status: "unavailable", reason: expect.stringContaining("/no/such was not found"), toolDefinitions: [] },
    }),
  );
});

describe("a call ends", () => {
  test("with its answer, and one event that says everything about it", async () => {
    const id = await traffic.send("echo", { args: { message: "m" }, requestId: "r" });
    expect(await traffic.answer(id)).toMatchObject({ id: "r", result: { content: [{ text: "m" }] } });
    const event = await traffic.outcome(id);
    expect(event).toMatchObject({
      v: 1,
      kind: "call",
      outcome: "ok",
      tenant: "acme",
      server: "fixture",
      tool: "echo",
      coldStart: false,
      runner: expect.stringMatching(/^r-[0-9a-f]{10}$/),
      decision: { policies: ["all"] },
    });
    expect(event.endedAt).toBeGreaterThanOrEqual(event.startedAt!);
    expect(event.responseBytes).toBeGreaterThan(20);
    expect(JSON.stringify(event)).not.toContain("message");
  });

  test.each([
    ["fail", "tool_error", { result: { isError: true } }, {}],
    ["error", "error", { error: { code: -32050, message: "own error" } }, { errorCode: -32050 }],
  ])("of a tool that answers with %s", async (tool, outcome, answer, more) => {
    const id = await traffic.send(tool);
    expect(await traffic.answer(id)).toMatchObject(answer);
    expect(await traffic.outcome(id)).toMatchObject({ outcome, ...more });
  });

  test("with progress on the way", async () => {
    const id = await traffic.send("progress", { args: { steps: 2 } });
    await traffic.answer(id);
    expect(traffic.replies(id).map((reply) => reply.params?.progress)).toEqual([1, 2, undefined]);
  });

  test.each([
    ["that is not there", "nobody", "server nobody is not run here any more"],
    ["that cannot be started", "absent", "server absent is unavailable: the server the command /no/such was not found"],
  ])("of a server %s", async (_name, server, reason) => {
    const id = await traffic.send("echo", { server });
    expect(await traffic.answer(id)).toMatchObject({
      id: 1,
      error: { code: -32008, data: { code: "unavailable" }, message: expect.stringContaining(reason) },
    });
    expect(await traffic.outcome(id)).toMatchObject({ outcome: "error", reason: expect.stringContaining(reason) });
  });

  test("of a server that cannot be started, at another one", async () => {
    const decision = { allow: true, policies: ["all"], revision: 1, reason: "allowed by all" };
    const fallbacks = [{ server: "fixture", tool: "echo", retrySafe: true, decision }];
    const id = await traffic.send("echo", { server: "absent", args: { message: "m" }, fallbacks });
    expect(await traffic.answer(id)).toMatchObject({ result: { content: [{ text: "m" }] } });
    expect(await metrics()).toMatch(/^tollgate_runner_call_fallbacks_total\{server="absent"\} 1$/m);
  });

  test("that is no request", async () => {
    const call = traffic.call("echo");
    await traffic.publish({ ...call, frame: '{"jsonrpc":"2.0","method":"tools/call"}' });
    expect(await traffic.answer(call.envelope.id)).toMatchObject({ id: null, error: { code: -32603 } });
    expect(await traffic.outcome(call.envelope.id)).toMatchObject({ outcome: "error" });
  });
});

describe("a deadline", () => {
  test("that passes ends the call, and the server is told", async () => {
    const id = await traffic.send("sleep", { args: { ms: 60_000 }, deadline: Date.now() + 300 });
    expect(await traffic.answer(id)).toMatchObject({
      error: {
        data: { code: "deadline_exceeded" },
        message: "server fixture did not answer before the call's deadline",
      },
    });
    const event = await traffic.outcome(id);
    expect(event).toMatchObject({ outcome: "timeout", startedAt: expect.any(Number) });
    expect(event.durationMs).toBeLessThan(5_000);
  });

  test("that has passed already keeps it from running", async () => {
    const id = await traffic.send("count", { args: { n: "late" }, deadline: Date.now() - 1 });
    expect(await traffic.answer(id)).toMatchObject({ error: { data: { code: "deadline_exceeded" } } });
    const event = await traffic.outcome(id);
    expect(event).toMatchObject({ outcome: "timeout", durationMs: 0 });
    expect(event).not.toHaveProperty("startedAt");
    expect(executions("late")).toBe(0);
  });
});

describe("a cancelled call", () => {
  test("ends at once", async () => {
    const id = await traffic.send("count", { args: { n: "cancelled", ms: 60_000 } });
    await ran("cancelled");
    await traffic.cancel(id);
    expect(await traffic.answer(id)).toMatchObject({ error: { data: { code: "cancelled" } } });
    expect(await traffic.outcome(id)).toMatchObject({ outcome: "cancelled", startedAt: expect.any(Number) });
    await traffic.cancel(id);
    expect(await traffic.events(id)).toHaveLength(1);
  });

  test("does not run when it comes after its cancellation", async () => {
    const call = traffic.call("count", { args: { n: "never" } });
    await traffic.cancel(call.envelope.id);
    await traffic.publish(call);
    expect(await traffic.answer(call.envelope.id)).toMatchObject({ error: { data: { code: "cancelled" } } });
    expect(await traffic.outcome(call.envelope.id)).not.toHaveProperty("startedAt");
    expect(executions("never")).toBe(0);
  });
});

describe("when the process dies", () => {
  test("what may run again does so, of the rest the outcome is unknown", async () => {
    const tenant = "crashing";
    const sleep = () => traffic.send("sleep", { args: { ms: 700 }, retrySafe: true, tenant });
    // So many that each for itself would open a circuit breaker: the end of one process is one failure.
    const safe = await Promise.all(Array.from({ length: 8 }, sleep));
    const unsafe = await traffic.send("count", { args: { n: "unsafe", ms: 60_000 }, tenant });
    await ran("unsafe");
    const killer = await traffic.send("crash", { tenant });

    for (const id of safe) {
      expect(await traffic.answer(id)).toMatchObject({ result: { content: [{ text: "slept" }] } });
      expect(await traffic.outcome(id)).toMatchObject({ outcome: "ok", attempts: 2 });
    }
    for (const id of [unsafe, killer]) {
      expect(await traffic.answer(id)).toMatchObject({
        error: { code: -32009, data: { code: "outcome_unknown", callId: id } },
      });
      const event = await traffic.outcome(id);
      expect(event).toMatchObject({ outcome: "unknown", startedAt: expect.any(Number) });
      expect(event).not.toHaveProperty("attempts");
    }
    expect(executions("unsafe")).toBe(1);
  });

  test("what may run again does so three times at the most", async () => {
    const tenant = "crashing-again";
    const id = await traffic.send("count", { args: { n: "again", ms: 60_000 }, retrySafe: true, tenant });
    for (const times of [1, 2, 3]) {
      await eventually(() => expect(executions("again")).toBe(times));
      await traffic.send("crash", { tenant });
    }
    expect(await traffic.answer(id)).toMatchObject({ error: { data: { code: "outcome_unknown" } } });
    expect(await traffic.outcome(id)).toMatchObject({ outcome: "unknown", attempts: 3 });
    expect(executions("again")).toBe(3);
    expect(await metrics()).toMatch(/^tollgate_runner_call_retries_total\{server="fixture"\} [1-9]\d*$/m);
  });
});

test("no answer leaves before its outcome is on AUDIT, and a full AUDIT loses nothing", async () => {
  const { bus } = traffic;
  const { audit } = bus.subjects.streams;
  const { config, state } = await bus.jsm.streams.info(audit);
  await bus.jsm.streams.update(audit, { ...config, max_msgs: state.messages });
  errors.length = 0;
  const id = await traffic.send("count", { args: { n: "held" } });
  await ran("held");
  await eventually(() => expect(errors.length).toBeGreaterThanOrEqual(2));
  expect(traffic.replies(id)).toEqual([]);

  await bus.jsm.streams.update(audit, config);
  expect(await traffic.answer(id)).toMatchObject({ result: { content: [{ text: "counted" }] } });
  expect(await traffic.outcome(id)).toMatchObject({ outcome: "ok" });
  expect(executions("held")).toBe(1);
});

test("a server whose settings change is replaced; the calls that it has end first", async () => {
  const before = await traffic.send("count", { args: { n: "rolling", ms: 1_000 } });
  await ran("rolling");
  registry.assign([assignment({ env: { ...env, NEW: "1" } })]);
  const read = async () => JSON.parse((await traffic.answer(await traffic.send("env"))).result.content[0].text);
  await eventually(async () => expect((await read()).env.NEW).toBe("1"));
  expect(await traffic.answer(before)).toMatchObject({ result: { content: [{ text: "counted" }] } });
  expect(await traffic.outcome(before)).toMatchObject({ outcome: "ok" });
});

test("a call that waits for a place finds one at the server that replaces its own", async () => {
  const pool = poolOf({ mode: "exclusive", max: 1, maxPerTenant: 1 });
  const narrow = (fields: object) =>
    assignment({ serverId: "narrow", env: { ...env, ...fields }, pool: { ...pool, queue: 10 } });
  const others = [assignment({ env: { ...env, NEW: "1" } })];
  registry.assign([...others, narrow({})]);
  await eventually(() => expect(registry.reports.some(({ serverId }) => serverId === "narrow")).toBe(true));
  const holding = await traffic.send("count", { server: "narrow", args: { n: "narrow", ms: 60_000 } });
  await ran("narrow");
  const waiting = await traffic.send("echo", { server: "narrow", args: { message: "served" } });
  registry.assign([...others, narrow({ NEW: "1" })]);
  expect(await traffic.answer(waiting)).toMatchObject({ result: { content: [{ text: "served" }] } });
  await traffic.cancel(holding);
  expect(await traffic.outcome(holding)).toMatchObject({ outcome: "cancelled" });
});

test("a runner that stops finishes what it has, acknowledges it, and leaves no process", async () => {
  const { pid, child } = JSON.parse((await traffic.answer(await traffic.send("env"))).result.content[0].text);
  const id = await traffic.send("count", { args: { n: "last", ms: 500 } });
  await ran("last");
  expect(await metrics()).toMatch(/^tollgate_runner_calls_total\{server="fixture",outcome="ok"\} \d+$/m);
  await runner.close();
  expect(await traffic.answer(id)).toMatchObject({ result: { content: [{ text: "counted" }] } });
  expect([isRunning(pid), isRunning(child)]).toEqual([false, false]);
  const { bus } = traffic;
  expect((await bus.jsm.streams.info(bus.subjects.streams.calls)).state.messages).toBe(0);

  const waiting = await traffic.send("echo", { args: { message: "for the next one" } });
  runner = await start();
  expect(await traffic.answer(waiting)).toMatchObject({ result: { content: [{ text: "for the next one" }] } });
});
