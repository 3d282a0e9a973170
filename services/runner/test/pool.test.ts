import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, fixtureServer } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import { usePools } from "./pool-fixture.ts";
import { isRunning } from "./processes.ts";
import { answer, LEGACY, oddCommand } from "./scripts.ts";

const { dir, open, ready, acquire, use, callTool, reports, stopRunner } = usePools();

describe("tenants", () => {
  test("have a process each; the first takes over the one that learned the tools", async () => {
    const pool = open();
    await ready();
    expect(reports).toEqual([
      {
        status: "ready",
        era: "legacy",
        isolation: "none",
        limitsBy: expect.stringMatching(/^(cgroup|prlimit|none)$/),
        protocol: "2025-11-25",
        capabilities: expect.stringContaining('"resources":{"subscribe":true,"listChanged":true}'),
        instructions: "Be gentle.",
        serverInfo: '{"name":"fixture","version":"1.0.0"}',
        prompts: ['{"name":"greet","arguments":[{"name":"who"}]}'],
        // Of two pages.
        resources: ["one", "two"].map((name) => `{"uri":"fixture://${name}","name":"${name}","x-unknown":1.5}`),
        resourceTemplates: ['{"uriTemplate":"fixture://item/{id}","name":"item"}'],
        tools: expect.arrayContaining([expect.stringContaining('"echo"')]),
      },
    ]);
    expect(pool.processes).toBe(1);
    const first = await acquire(pool, "acme");
    expect([pool.processes, first.coldStart]).toEqual([1, undefined]);
    const again = await acquire(pool, "acme");
    expect(again.connection.pid).toBe(first.connection.pid);
    const other = await acquire(pool, "rival");
    expect([pool.processes, other.coldStart]).toEqual([2, { calls: 0 }]);
    expect(other.connection.pid).not.toBe(first.connection.pid);
    for (const lease of [first, again, other]) lease.release();
    expect((await acquire(pool, "rival")).connection.pid).toBe(other.connection.pid);
  });

  test("that come while it starts share one start each", async () => {
    const pool = open();
    const leases = await Promise.all(["a", "a", "b", "a", "b"].map((tenant) => acquire(pool, tenant)));
    const starts = leases.map(({ coldStart }) => coldStart);
    expect(new Set([starts[0], starts[1], starts[3]])).toEqual(new Set([{ calls: 0 }]));
    expect(starts[4]).toBe(starts[2]);
    expect(starts[2]).not.toBe(starts[0]);
    const pids = leases.map(({ connection }) => connection.pid);
    expect(new Set([pids[0], pids[1], pids[3]]).size).toBe(1);
    expect(pids[2]).toBe(pids[4]);
    expect(pool.processes).toBe(2);
  });
});

describe("bounds", () => {
  test("of calls at the same time, and of those that wait; whoever waited longest is next", async () => {
    const pool = open({ pool: { callsPerProcess: 2, maxPerTenant: 1, queue: 2 } });
    const [one, two] = await Promise.all([acquire(pool, "acme"), acquire(pool, "acme")]);
    const order: string[] = [];
    const waiting = ["third", "fourth"].map(async (name) => {
      const lease = await acquire(pool, "acme");
      order.push(name);
      return lease;
    });
    await expect(acquire(pool, "acme")).rejects.toMatchObject({ code: "overloaded", retryable: true });
    expect(order).toEqual([]);
    one.release();
    await waiting[0];
    expect(order).toEqual(["third"]);
    two.release();
    expect((await Promise.all(waiting)).length).toBe(2);
    expect(order).toEqual(["third", "fourth"]);
    // Another tenant does not wait behind them.
    expect(await use(pool, "rival", "echo", { message: "here" })).toBe("here");
  });

  test("of processes: an idle one makes room, one in use does not", async () => {
    const pool = open({ pool: { max: 2, queue: 0 } });
    const [one, two] = await Promise.all([acquire(pool, "one"), acquire(pool, "two")]);
    await expect(acquire(pool, "three")).rejects.toMatchObject({
      code: "overloaded",
      message: "server fixture: all 2 processes are in use; try again in 1 s",
    });
    two.release();
    const three = await acquire(pool, "three");
    expect(pool.processes).toBe(2);
    expect(one.connection.ended).toBeUndefined();
    await eventually(() => expect(two.connection.ended).toBeDefined());
    three.release();
    one.release();
  });

  test("of one process: the tenants take turns", async () => {
    const pool = open({ pool: { max: 1 } });
    for (const tenant of ["one", "two", "one"])
      expect(await use(pool, tenant, "echo", { message: tenant })).toBe(tenant);
    expect(pool.processes).toBe(1);
  });

  test("of idleness: the idle end, one stays", async () => {
    const pool = open({ pool: { idleTimeoutMs: 100 } });
    const leases = await Promise.all(["a", "b", "c"].map((tenant) => acquire(pool, tenant)));
    expect(pool.processes).toBe(3);
    await eventually(() => expect(pool.processes).toBe(3));
    for (const lease of leases) lease.release();
    await eventually(() => expect(pool.processes).toBe(1));
    const running = () => leases.filter(({ connection }) => isRunning(connection.pid)).length;
    await eventually(() => expect(running()).toBe(1));
    // An end that was wished for is not a crash.
    expect(reports.every(({ status }) => status === "ready")).toBe(true);
  });
});

describe("a process that ends", () => {
  test("is replaced at once, and one that ends soon again after a while", async () => {
    const pool = open();
    expect(await use(pool, "acme", "crash")).toBe("lost: exited with code 3");
    expect(await use(pool, "acme", "echo", { message: "at once" })).toBe("at once");
    expect(reports.map(({ status }) => status)).not.toContain("unavailable");
    await ready();

    const crashedAt = Date.now();
    expect(await use(pool, "acme", "crash")).toBe("lost: exited with code 3");
    await expect(acquire(pool, "acme")).rejects.toMatchObject({
      code: "unavailable",
      message: "server fixture is unavailable: the server exited with code 3",
    });
    expect(reports.at(-1)).toEqual({ status: "unavailable", reason: "the server exited with code 3" });
    await ready();
    expect(Date.now() - crashedAt).toBeGreaterThanOrEqual(700);
    expect(await use(pool, "acme", "echo", { message: "back" })).toBe("back");
  });

  test("is replaced for those that wait for a place in it", async () => {
    const pool = open({ pool: { callsPerProcess: 1, maxPerTenant: 1 } });
    const lease = await acquire(pool, "acme");
    const waiting = [use(pool, "acme", "echo", { message: "a" }), use(pool, "acme", "echo", { message: "b" })];
    expect(await callTool(lease, "crash")).toBe("lost: exited with code 3");
    expect(await Promise.all(waiting)).toEqual(["a", "b"]);
    lease.release();
    expect(pool.health().restarts).toBe(1);
  });

  test("does not disturb another tenant's", async () => {
    const pool = open();
    const theirs = await acquire(pool, "rival");
    expect(await use(pool, "acme", "crash")).toBe("lost: exited with code 3");
    expect(await callTool(theirs, "echo", { message: "still here" })).toBe("still here");
    expect(await use(pool, "acme", "echo", { message: "back" })).toBe("back");
    theirs.release();
  });
});

describe("a server that does not start", () => {
  test("is unavailable with the reason, however many ask, and comes back by itself", async () => {
    const flag = join(dir, "broken");
    writeFileSync(flag, "");
    const script = join(dir, "sometimes.ts");
    const broken = `import { existsSync } from "node:fs";\nif (existsSync(${JSON.stringify(flag)})) process.env["FIXTURE_START"] = "exit";\n`;
    writeFileSync(script, `${broken}await import(${JSON.stringify(fixtureServer)});\n`);
    const startedAt = Date.now();
    const pool = open({ command: script });
    const refused = await Promise.allSettled(Array.from({ length: 50 }, (_each, i) => acquire(pool, `t${i % 3}`)));
    for (const each of refused) {
      expect(each).toMatchObject({
        status: "rejected",
        reason: { code: "unavailable", message: expect.stringContaining("fixture: cannot open its database") },
      });
    }
    // The crowd counts as one failure: it is tried again after the shortest wait.
    rmSync(flag);
    await ready();
    expect(Date.now() - startedAt).toBeLessThan(15_000);
    expect(reports.filter(({ status }) => status === "unavailable").length).toBeLessThanOrEqual(3);
    expect(await use(pool, "acme", "echo", { message: "back" })).toBe("back");
  });

  test("because its tools cannot be listed is ended", async () => {
    const { env, args } = oddCommand({
      ...LEGACY,
      "tools/list": ['{"jsonrpc":"2.0","id":$id,"error":{"message":"no"}}'],
    });
    const pool = open({ command: args[0]!, env: { ...env } });
    await eventually(() => expect(reports).toEqual([{ status: "unavailable", reason: 'tools/list failed: "no"' }]));
    await eventually(() => expect(pool.processes).toBe(0));
  });
});

test("tools that change are reported anew, and a flood of such news is not a flood of reports", async () => {
  const tools = answer({ tools: [{ name: "a" }] });
  const notices = Array.from({ length: 500 }, () => '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}');
  const { env, args } = oddCommand({ ...LEGACY, "tools/list": [tools], "tools/call": [...notices, answer({})] });
  const pool = open({ command: args[0]!, env: { ...env } });
  await ready();
  await use(pool, "acme", "any");
  await eventually(() => expect(reports).toHaveLength(2));
  expect(reports[1]).toMatchObject({ status: "ready", tools: ['{"name":"a"}'] });
  await use(pool, "acme", "any");
  await eventually(() => expect(reports).toHaveLength(3));
});

describe("closing", () => {
  test("lets the calls end that it has, takes no more, and leaves no process", async () => {
    const counted = join(dir, "counted");
    appendFileSync(counted, "");
    const pool = open({ env: { FIXTURE_COUNT_FILE: counted } });
    const lease = await acquire(pool, "acme");
    const idle = await acquire(pool, "rival");
    idle.release();
    const answered = callTool(lease, "count", { ms: 1_500 });
    await eventually(() => expect(readFileSync(counted, "utf8")).not.toBe(""));
    const closed = pool.close();
    await expect(acquire(pool, "acme")).rejects.toMatchObject({ code: "unavailable" });
    await eventually(() => expect(isRunning(idle.connection.pid)).toBe(false));
    expect(await answered).toBe("counted");
    lease.release();
    await closed;
    expect(isRunning(lease.connection.pid)).toBe(false);
    expect(pool.processes).toBe(0);
  });

  test("when the runner stops does not wait for calls", async () => {
    const pool = open();
    const lease = await acquire(pool, "acme");
    const answered = callTool(lease, "sleep", { ms: 60_000 });
    const closed = pool.close();
    stopRunner();
    await closed;
    expect(await answered).toMatch(/^lost: /);
    expect(isRunning(lease.connection.pid)).toBe(false);
  });

  test("when the runner stops does not wait for a start", async () => {
    const log = join(dir, "started");
    const { env, args } = oddCommand({}, { ODD_LOG: log });
    const pool = open({ command: args[0]!, env: { ...env }, startupTimeoutMs: 60_000 });
    const refused = acquire(pool, "acme").catch((error: unknown) => error);
    await eventually(() => expect(existsSync(log)).toBe(true));
    stopRunner();
    await pool.close();
    expect(await refused).toMatchObject({ code: "unavailable" });
    expect(pool.processes).toBe(0);
    expect(reports).toEqual([]);
  });
});
