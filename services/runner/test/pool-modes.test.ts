import { eventually } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import type { Lease, Pool } from "../src/pool/pool.ts";
import { createSpawning } from "../src/pool/spawning.ts";
import { limitsOf } from "./assigning-registry.ts";
import { type Client, usePools } from "./pool-fixture.ts";
import { isRunning } from "./processes.ts";

const { open, ready, acquire, use, callTool } = usePools();

const pidOf = ({ connection }: Lease) => connection.pid;
const ASKABLE = { capabilities: { roots: {} } };

/** Gives the connection back at once: which process a call would have. */
async function pidFor(pool: Pool, tenant: string, client?: Client): Promise<number> {
  const lease = await acquire(pool, tenant, client);
  lease.release();
  return pidOf(lease);
}

describe("multiplexed", () => {
  test("another process is started when those that are there are full, and the emptiest is taken", async () => {
    const pool = open({ pool: { callsPerProcess: 2 } });
    const leases: Lease[] = [];
    for (let n = 0; n < 4; n++) leases.push(await acquire(pool, "acme"));
    const [one, , two] = leases.map(pidOf);
    expect(leases.map(pidOf)).toEqual([one, one, two, two]);
    expect(pool.health().pool).toMatchObject({ mode: "multiplexed", processes: 2, busy: 2, callsRunning: 4 });
    leases[2]!.release();
    leases[3]!.release();
    leases[1]!.release();
    expect(pidOf(await acquire(pool, "acme"))).toBe(two);
  });
});

describe("exclusive", () => {
  test("each call has a process to itself; those that come free are used again", async () => {
    const pool = open({ pool: { mode: "exclusive", max: 3, maxPerTenant: 3 } });
    const leases = await Promise.all([1, 2, 3].map(() => acquire(pool, "acme")));
    expect(new Set(leases.map(pidOf)).size).toBe(3);
    const waiting = acquire(pool, "acme");
    await eventually(() => expect(pool.health().pool.callsWaiting).toBe(1));
    leases[1]!.release();
    expect(pidOf(await waiting)).toBe(pidOf(leases[1]!));
    expect(pool.processes).toBe(3);
  });

  test("tenants that always have work do not start a process for each call by taking each other's", async () => {
    const pool = open({ pool: { mode: "exclusive", max: 2, maxPerTenant: 2 } });
    const keepCalling = async (tenant: string): Promise<void> => {
      for (let n = 0; n < 10; n++) (await acquire(pool, tenant)).release();
    };
    await Promise.all(["acme", "rival"].flatMap((tenant) => [1, 2, 3].map(() => keepCalling(tenant))));
    // The one that learned the tools, one more, and what it takes until each has its share.
    expect(pool.health().starts).toBeLessThanOrEqual(4);
  });

  test("a session's calls have its connection one after the other", async () => {
    const pool = open({ pool: { mode: "exclusive" } });
    const [one, other] = await Promise.all(
      ["s-1", "s-2"].map((session) => acquire(pool, "acme", { session, ...ASKABLE })),
    );
    const next = acquire(pool, "acme", { session: "s-1", ...ASKABLE });
    await eventually(() => expect(pool.health().pool.callsWaiting).toBe(1));
    one!.release();
    expect(pidOf(await next)).toBe(pidOf(one!));
    expect(pidOf(other!)).not.toBe(pidOf(one!));
  });
});

describe("of sessions", () => {
  test("each has a process, which keeps its state; clients without one have their principal's", async () => {
    const pool = open({ pool: { mode: "session" } });
    const tally = async (client: Client): Promise<number> => {
      const lease = await acquire(pool, "acme", client);
      expect(lease.kind).toBe("bound");
      const { tally: count } = JSON.parse(await callTool(lease, "tally"));
      lease.release();
      return count;
    };
    for (const count of [1, 2, 3]) expect(await tally({ session: "s-1" })).toBe(count);
    expect(await tally({ session: "s-2" })).toBe(1);
    expect(await tally({ session: "s-2", principal: "q" })).toBe(1);
    expect(await tally({ era: "modern" })).toBe(1);
    expect(await tally({ era: "modern" })).toBe(2);
    expect(await tally({ era: "modern", principal: "q" })).toBe(1);
    expect(await tally({ session: "s-1" })).toBe(4);
  });

  test("of one tenant have no more processes than that may; that others wait ends none of them, idle or not", async () => {
    const pool = open({ pool: { mode: "session", max: 3, maxPerTenant: 2 } });
    await ready();
    const [one, two] = await Promise.all(["s-1", "s-2"].map((session) => acquire(pool, "acme", { session })));
    const three = acquire(pool, "acme", { session: "s-3" });
    await eventually(() => expect(pool.health().pool.callsWaiting).toBe(1));
    await acquire(pool, "rival", { session: "s-4" });
    expect(pool.health().pool.callsWaiting).toBe(1);
    two!.release();
    // Whoever has the state of an idle one comes first.
    expect(pidOf(await acquire(pool, "acme", { session: "s-2" }))).toBe(pidOf(two!));
    expect(pool.health().pool.callsWaiting).toBe(1);
    pool.endSession("s-1");
    one!.release();
    await three;
    await eventually(() => expect(isRunning(pidOf(one!))).toBe(false));
    expect(isRunning(pidOf(two!))).toBe(true);
  });

  test("one that has ended leaves nothing, and what was opened to learn the tools ends too", async () => {
    const pool = open({ pool: { mode: "session", idleTimeoutMs: 300 } });
    await ready();
    const lease = await acquire(pool, "acme", { session: "s-1" });
    await eventually(() => expect(pool.processes).toBe(1));
    lease.release();
    pool.endSession("s-1");
    await eventually(() => expect(isRunning(pidOf(lease))).toBe(false));
    expect(pool.health()).toMatchObject({ state: "idle", pool: { processes: 0 } });
  });
});

test("shared: all tenants have one process, and what it tells of everybody's", async () => {
  const pool = open({ pool: { shared: true } });
  const pids = [];
  for (const tenant of ["acme", "rival", "third"]) pids.push(await pidFor(pool, tenant));
  expect(new Set(pids).size).toBe(1);
  expect(pool.processes).toBe(1);
  expect(pool.health().processes).toEqual([expect.objectContaining({ pid: pids[0], tenant: "" })]);
});

describe("so many are kept ready", () => {
  test("before anybody calls, for whoever calls first", async () => {
    const pool = open({ pool: { min: 3, max: 4 } });
    await eventually(() => expect(pool.health().processes).toHaveLength(3));
    const leases = [];
    for (const tenant of ["one", "two", "three"]) leases.push(await acquire(pool, tenant));
    expect(leases.map(({ coldStart }) => coldStart)).toEqual([undefined, undefined, undefined]);
    expect(new Set(leases.map(pidOf)).size).toBe(3);
    expect((await acquire(pool, "four")).coldStart).toBeDefined();
  });

  test("also after one of them has died", async () => {
    const pool = open({ pool: { min: 2, idleTimeoutMs: 200 } });
    await eventually(() => expect(pool.health().processes).toHaveLength(2));
    const [{ pid } = { pid: 0 }] = pool.health().processes;
    process.kill(pid, "SIGKILL");
    await eventually(() => {
      const pids = pool.health().processes.map((each) => each.pid);
      expect(pids).toHaveLength(2);
      expect(pids).not.toContain(pid);
    });
  });

  test("none: the last one ends when it is idle, and the next call starts one", async () => {
    const pool = open({ pool: { min: 0, idleTimeoutMs: 200 } });
    await ready();
    await eventually(() => expect(pool.health()).toMatchObject({ state: "idle", pool: { processes: 0 } }));
    expect(await use(pool, "acme", "echo", { message: "there" })).toBe("there");
    await eventually(() => expect(pool.processes).toBe(0));
    expect(pool.health()).toMatchObject({ restarts: 0, starts: 2 });
  });
});

describe("calls that wait", () => {
  test("do so for a while only", async () => {
    const pool = open({ pool: { mode: "exclusive", max: 1, maxPerTenant: 1, queueTimeoutMs: 200 } });
    const lease = await acquire(pool, "acme");
    await expect(acquire(pool, "acme")).rejects.toMatchObject({
      code: "overloaded",
      message: "server fixture: waited 0.2 s, and all 1 processes are in use; try again in 1 s",
      details: { retryAfterSeconds: 1 },
    });
    lease.release();
    expect(pool.health().pool).toMatchObject({ busy: 0, callsWaiting: 0 });
  });

  test("leave when their call has ended", async () => {
    const pool = open({ pool: { mode: "exclusive", max: 1, maxPerTenant: 1 } });
    const lease = await acquire(pool, "acme");
    const ended = new AbortController();
    const waiting = acquire(pool, "acme", { signal: ended.signal });
    await eventually(() => expect(pool.health().pool.callsWaiting).toBe(1));
    ended.abort(new Error("it has ended"));
    await expect(waiting).rejects.toThrow("it has ended");
    lease.release();
    expect(pool.health().pool).toMatchObject({ busy: 0, callsWaiting: 0 });
  });

  test("take turns by tenant: a flood of one does not keep another's waiting", async () => {
    const pool = open({ pool: { mode: "exclusive", max: 1, maxPerTenant: 1 } });
    const first = await acquire(pool, "flood");
    const order: string[] = [];
    const wait = async (tenant: string) => {
      const lease = await acquire(pool, tenant);
      order.push(tenant);
      lease.release();
    };
    const all = [...Array.from({ length: 40 }, () => wait("flood")), wait("quiet"), wait("other")];
    await eventually(() => expect(pool.health().pool.callsWaiting).toBe(42));
    first.release();
    await Promise.all(all);
    // One turn of the flood is four calls, as its lane has it.
    expect(order.indexOf("quiet")).toBeLessThan(12);
    expect(order.indexOf("other")).toBeLessThan(12);
  });

  test("are never all of one tenant", async () => {
    const pool = open({ pool: { mode: "exclusive", max: 1, maxPerTenant: 1, queue: 4 } });
    const lease = await acquire(pool, "flood");
    const served = ["flood", "flood", "flood", "quiet"].map((tenant) => use(pool, tenant, "echo", { message: tenant }));
    await eventually(() => expect(pool.health().pool.callsWaiting).toBe(4));
    await expect(acquire(pool, "quiet")).rejects.toThrow("all 1 processes are in use, and 4 calls wait already");
    lease.release();
    expect(await Promise.all(served)).toEqual(["flood", "flood", "flood", "quiet"]);
    const again = await acquire(pool, "flood");
    const waiting = [1, 2, 3].map(() => acquire(pool, "flood").catch(() => undefined));
    await eventually(() => expect(pool.health().pool.callsWaiting).toBe(3));
    await expect(acquire(pool, "flood")).rejects.toThrow("3 calls of the tenant wait already; try again in 1 s");
    const closed = pool.close();
    await Promise.all(waiting);
    again.release();
    await closed;
  });

  test("get one of another tenant's processes where that always has calls in all of them", async () => {
    const pool = open({ pool: { callsPerProcess: 1, max: 2, maxPerTenant: 2 } });
    const leases = await Promise.all([acquire(pool, "flood"), acquire(pool, "flood")]);
    const answered = leases.map((lease) => callTool(lease, "sleep", { ms: 1_000 }));
    expect(await use(pool, "quiet", "echo", { message: "at once" })).toBe("at once");
    expect(pool.processes).toBe(2);
    expect(await Promise.all(answered)).toEqual(["slept", "slept"]);
    for (const lease of leases) lease.release();
    await eventually(() => expect(leases.filter(({ connection }) => isRunning(connection.pid))).toHaveLength(1));
  });

  test("are none while there is room for their tenant", async () => {
    const pool = open({ pool: { mode: "exclusive", max: 3, maxPerTenant: 2 } });
    await Promise.all([acquire(pool, "flood"), acquire(pool, "flood")]);
    const waiting = acquire(pool, "flood");
    waiting.catch(() => undefined);
    await eventually(() => expect(pool.health().pool.callsWaiting).toBe(1));
    expect(await use(pool, "quiet", "echo", { message: "at once" })).toBe("at once");
  });
});

describe("calls at the same time", () => {
  test("are bounded for a server, over all its processes", async () => {
    const pool = open({ limits: limitsOf({ concurrency: 2 }) });
    const leases = [await acquire(pool, "acme"), await acquire(pool, "rival")];
    const third = acquire(pool, "acme");
    await eventually(() => expect(pool.health().pool.callsWaiting).toBe(1));
    leases[1]!.release();
    (await third).release();
  });

  test("and for a tool, beside others", async () => {
    const rule = { callTimeoutMs: 0, fallbacks: [], cachedResultMs: 0, risk: "" };
    const pool = open({ toolRules: [{ tool: "sleep", concurrency: 1, ...rule }] });
    const lease = await acquire(pool, "acme", { tool: "sleep" });
    const second = acquire(pool, "acme", { tool: "sleep" });
    await eventually(() => expect(pool.health().pool.callsWaiting).toBe(1));
    (await acquire(pool, "acme", { tool: "echo" })).release();
    lease.release();
    (await second).release();
  });
});

describe("over all servers of a runner", () => {
  test("processes are bounded: an idle one of another server makes room, one in use does not", async () => {
    const spawning = createSpawning({ startsMax: 4, processesMax: 2 });
    const one = open({ spawning, serverId: "one" });
    const two = open({ spawning, serverId: "two" });
    await eventually(() => expect([one.health().state, two.health().state]).toEqual(["ready", "ready"]));
    const held = await acquire(one, "acme");
    const three = open({ spawning, serverId: "three", pool: { queueTimeoutMs: 500 } });
    const lease = await acquire(three, "acme");
    expect([one.processes, two.processes, three.processes]).toEqual([1, 0, 1]);
    await expect(acquire(three, "rival")).rejects.toMatchObject({ code: "overloaded" });
    expect(spawning.count).toBeLessThanOrEqual(2);
    held.release();
    expect(await use(two, "acme", "echo", { message: "back" })).toBe("back");
    lease.release();
  });

  test("few start at the same time, and one server's that hang do not hold up another's", async () => {
    const spawning = createSpawning({ startsMax: 2, processesMax: 64 });
    const hanging = open({ spawning, serverId: "hanging", env: { FIXTURE_START: "hang" }, report: () => undefined });
    const refused = ["a", "b", "c"].map((tenant) => acquire(hanging, tenant).catch((error: Error) => error));
    await eventually(() => expect(spawning.starting.waiting).toBeGreaterThanOrEqual(2));
    expect(spawning.starting.inside).toBe(1);
    const well = open({ spawning, serverId: "well" });
    expect(await use(well, "acme", "echo", { message: "started" })).toBe("started");
    expect(spawning.starting.inside).toBe(1);
    await hanging.close();
    await Promise.all(refused);
  });
});
