import { createSealers } from "@tollgate/mcp";
import { eventually } from "@tollgate/testkit";
import { beforeAll, describe, expect, test } from "vitest";
import type { RunningRunner } from "../src/service.ts";
import { assignment, poolOf } from "./assigning-registry.ts";
import { useRunner } from "./runner-fixture.ts";
import type { CallOptions } from "./traffic.ts";

const SETTINGS = { parkedMs: 1_500, parkedCallsPerTenantMax: 2 };
const POOL = poolOf({ idleTimeoutMs: 1_000 });
const { traffic, ask, call, startRunner, ...fixture } = useRunner(() => [assignment({ pool: POOL })], SETTINGS);
let second: RunningRunner;
beforeAll(async () => {
  second = await startRunner();
});

const ASKABLE = { capabilities: { roots: {} } };
const bound = (session: string, options: CallOptions = {}): CallOptions => ({ session, client: ASKABLE, ...options });
const modern = (options: CallOptions = {}): CallOptions => ({ client: { era: "modern", ...ASKABLE }, ...options });
const parking = (options: CallOptions = {}) => modern({ args: { methods: ["roots/list"] }, ...options });

async function park(options: CallOptions = {}): Promise<{ parked: string; runner: string }> {
  const { result } = await ask("ask", parking(options));
  const { parked, runner } = createSealers(fixture.serviceKey).state.open(result.requestState)!;
  return { parked: parked!, runner: runner! };
}
const goOn = ({ parked, runner }: { parked: string; runner: string }): CallOptions =>
  parking({ parked, to: runner, params: { inputResponses: { q1: { roots: [] } } } });

/** The runner that holds a session's connection. */
async function holderOf(options: CallOptions): Promise<string> {
  const id = await traffic.send("client", options);
  await traffic.answer(id);
  return traffic.replied(id).at(-1)!.envelope.runner!;
}

describe("with several runners", () => {
  test("a session's calls go to the one that holds its connection, and find it there", async () => {
    const to = await holderOf(bound("s-1"));
    const pids = await Promise.all(
      Array.from({ length: 6 }, async () => (await call("client", bound("s-1", { to }))).pid),
    );
    expect(new Set(pids).size).toBe(1);
  });

  test("calls that wait go on in the one that holds them", async () => {
    const waiting = await Promise.all([park(), park({ tenant: "rival" })]);
    expect(await call("ask", goOn(waiting[0]))).toEqual([{ roots: [] }]);
    expect(await call("ask", { ...goOn(waiting[1]), tenant: "rival" })).toEqual([{ roots: [] }]);
  });
});

describe("what waits for a client", () => {
  test("does so for a while only; then the server is told", async () => {
    const waiting = await park();
    const pid = async () => (await call("client", modern({ to: waiting.runner }))).pid;
    const other = await pid();
    // Its connection is free again, and is found before the other one, which was opened later.
    await eventually(async () => expect(await pid()).not.toBe(other));
    expect(await ask("ask", goOn(waiting))).toMatchObject({ error: { code: -32602 } });
  });

  test("is no more than a tenant may have", async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, async () => (await ask("ask", parking({ tenant: "busy" }))).error?.data.code),
    );
    // Two for each of the two runners.
    expect(outcomes.filter((code) => code === undefined).length).toBeLessThanOrEqual(4);
    expect(outcomes).toContain("overloaded");
  });
});

test("a session's connection ends when it is idle, and is opened anew", async () => {
  const to = await holderOf(bound("s-2"));
  const before = (await call("client", bound("s-2", { to }))).pid;
  await eventually(() => expect(() => process.kill(before, 0)).toThrow("ESRCH"));
  expect((await call("client", bound("s-2", { to }))).pid).not.toBe(before);
});

describe("a runner that is gone", () => {
  test("is replaced by another: its sessions begin anew there, what waited in it is over", async () => {
    const holders = new Map<string, string>();
    for (let n = 0; holders.size < 2; n++) holders.set(await holderOf(bound(`s-${100 + n}`)), `s-${100 + n}`);
    const waiting = [await park()];
    while (new Set(waiting.map(({ runner }) => runner)).size < 2)
      waiting.push(await park({ tenant: `t-${waiting.length}` }));
    await second.close();

    const survivors = new Set<string>();
    for (const [to, session] of holders) survivors.add(await holderOf(bound(session, { to })));
    expect(survivors.size).toBe(1);
    const gone = waiting.find(({ runner }) => !survivors.has(runner))!;
    const { error } = await ask("ask", goOn(gone));
    expect(error).toMatchObject({ code: -32602, message: expect.stringContaining("from the beginning") });
  }, 60_000);
});
