import { type CallEvent, timeOfId } from "@tollgate/contracts";
import { openLife } from "@tollgate/service";
import { callEvent, refusalEvent, eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type MeteringClient, openMeteringClient, type UsageFields } from "./metering-client.ts";
import { idAt, openPublishing, startService } from "./metering-service.ts";

const infra = useInfrastructure();
const life = openLife(testLog);
let publish: Awaited<ReturnType<typeof openPublishing>>["publish"];
let getUsage: MeteringClient["getUsage"];

beforeAll(async () => {
  const service = await startService(infra);
  life.onClose("metering", 20_000, () => service.close());
  ({ publish } = await openPublishing(infra, life));
  ({ getUsage } = openMeteringClient({ port: service.grpcPort, serviceKey: infra.serviceKey, life }));
});
afterAll(() => life.close());

async function eventuallyCalls(tenant: string, calls: bigint): Promise<void> {
  await eventually(async () => expect((await getUsage({ tenant })).total?.calls).toBe(calls));
}

describe("usage", () => {
  it("is what the calls used and cost, by tool, the dearest first, with a total over all", async () => {
    const tenant = "sums";
    await publish([
      callEvent({ tenant, tool: "cheap", durationMs: 0 }),
      callEvent({
        tenant,
        tool: "dear",
        durationMs: 2_000.5,
        responseBytes: 1_000_000,
        coldStart: true,
        cpuMs: 1_500,
        attempts: 2,
      }),
      callEvent({ tenant, tool: "dear", durationMs: 0.0004, outcome: "tool_error" }),
      callEvent({ tenant, tool: "b", durationMs: 0 }),
    ]);
    await eventuallyCalls(tenant, 4n);

    const { rows, total, currency, more } = await getUsage({ tenant, groupBy: ["tool"], limit: 2 });
    expect(currency).toBe("USD");
    expect(more).toBe(true);
    expect(rows.map((row) => row.key)).toEqual([{ tool: "dear" }, { tool: "b" }]);
    expect(rows[0]).toEqual({
      key: { tool: "dear" },
      calls: 2n,
      errors: 1n,
      durationMs: 2_001n,
      requestBytes: 200n,
      responseBytes: 1_000_200n,
      coldStarts: 1n,
      cpuMs: 1_500n,
      downstreamCalls: 3n,
      fromMs: 0n,
      // (0.0001 + 2.0005 s × 0.00005 + 1.0001 MB × 0.00001) + (0.0001 + 0.0003 MB × 0.00001)
      cost: "0.000310029",
    });
    expect(rows[1]?.cost).toBe("0.000100003");
    expect(total).toEqual({
      key: {},
      calls: 4n,
      errors: 1n,
      durationMs: 2_001n,
      requestBytes: 400n,
      responseBytes: 1_000_600n,
      coldStarts: 1n,
      cpuMs: 1_500n,
      downstreamCalls: 5n,
      fromMs: 0n,
      cost: "0.000510035",
    });
  });

  it("bills every outcome, and counts each but ok as an error", async () => {
    const outcomes = ["ok", "tool_error", "error", "cancelled", "timeout", "unknown"] as const;
    await publish(outcomes.map((outcome) => callEvent({ tenant: "outcomes", outcome })));
    await eventuallyCalls("outcomes", 6n);
    expect((await getUsage({ tenant: "outcomes" })).total).toMatchObject({ calls: 6n, errors: 5n });
  });

  it("leaves out what was refused, and counts a repeated outcome once", async () => {
    const event = callEvent({ tenant: "once" });
    await publish([refusalEvent({ tenant: "once" }), event, event, { ...event, outcome: "unknown" }]);
    await publish([event]);
    await publish([callEvent({ tenant: "once" })]);
    await eventuallyCalls("once", 2n);
    expect((await getUsage({ tenant: "once" })).total).toMatchObject({ calls: 2n, errors: 0n });
  });

  it("keeps tenants apart, and groups by any key", async () => {
    await publish([
      callEvent({ tenant: "left", team: "one", principal: "p1", group: "g1", server: "s1", tool: "t1" }),
      callEvent({ tenant: "right", team: "two", principal: "p2", group: "g2", server: "s2", tool: "t2" }),
    ]);
    await eventuallyCalls("left", 1n);
    await eventuallyCalls("right", 1n);
    const groupBy = ["tool", "server", "group", "principal", "team", "tenant"];
    const { rows } = await getUsage({ tenant: "left", groupBy });
    expect(rows.map((row) => row.key)).toEqual([
      { tool: "t1", server: "s1", group: "g1", principal: "p1", team: "one", tenant: "left" },
    ]);
    const tenants = (await getUsage({ groupBy: ["tenant"] })).rows.map((row) => row.key["tenant"]);
    expect(tenants).toEqual(expect.arrayContaining(["left", "right"]));
  });

  it("is recorded and found, however long the names are that a client has sent", async () => {
    const tenant = "long";
    const tool = `files://${Array.from({ length: 1_500 }, (_, at) => (at * 7_919) % 10_007).join("/")}`;
    const names = { team: `${tool}-team`, principal: `user:${tool}`, group: `${tool}-g`, server: `${tool}-s` };
    await publish([callEvent({ tenant, tool, ...names }), callEvent({ tenant, tool: `${tool}!`, ...names })]);
    await eventuallyCalls(tenant, 2n);
    const { rows } = await getUsage({ tenant, groupBy: ["tool", "user", "team", "group", "server"] });
    expect(new Set(rows.map((row) => row.key["tool"])).size).toBe(2);
    for (const filter of [{ tool }, { tool, user: tool, server: names.server }])
      expect((await getUsage({ tenant, filter })).total?.calls).toBe(1n);
  });

  it("is zero where there was nothing", async () => {
    const zero = {
      key: {},
      calls: 0n,
      errors: 0n,
      durationMs: 0n,
      requestBytes: 0n,
      responseBytes: 0n,
      coldStarts: 0n,
      cpuMs: 0n,
      downstreamCalls: 0n,
      fromMs: 0n,
      cost: "0",
    };
    const answer = { total: zero, currency: "USD", more: false, asOfMs: expect.any(BigInt) };
    expect(await getUsage({ tenant: "nobody" })).toEqual({ ...answer, rows: [zero] });
    expect(await getUsage({ tenant: "nobody", groupBy: ["tool"] })).toEqual({ ...answer, rows: [] });
  });

  it("of a time counts from inclusive to exclusive, across the end of a month", async () => {
    const boundary = Date.UTC(2026, 11, 1);
    const ids = [boundary - 1, boundary, boundary + 1].map((timeMs) => idAt(timeMs));
    await publish(ids.map((id) => callEvent({ tenant: "months", id, endedAt: timeOfId(id) })));
    await eventuallyCalls("months", 3n);
    const before = await getUsage({ tenant: "months", fromMs: BigInt(boundary - 1), toMs: BigInt(boundary) });
    expect(before.total?.calls).toBe(1n);
    const after = await getUsage({ tenant: "months", fromMs: BigInt(boundary), toMs: BigInt(boundary + 2) });
    expect(after.total?.calls).toBe(2n);
  });

  it("refuses what it cannot group by", async () => {
    await expect(getUsage({ groupBy: ["cost"] })).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(getUsage({ limit: 10_001 })).rejects.toMatchObject({ code: "invalid_argument" });
  });
});

/** Two days and a bit, so that a question may need whole days and both ends. */
describe("usage of several days", () => {
  const tenant = "days";
  const first = Date.UTC(2026, 9, 30);
  const HOUR_MS = 3_600_000;
  const events = Array.from({ length: 400 }, (_, at) => {
    const timeMs = first + at * HOUR_MS * 0.31;
    const principal = ["user:ann", "user:bob", "agent:bot", "token:ci"][at % 4]!;
    const who = { tenant, principal, team: at % 3 === 0 ? "red" : "blue" };
    const what = { group: `g${at % 2}`, server: `s${at % 5}`, tool: `t${at % 7}` };
    const used = {
      durationMs: at * 1.7,
      cpuMs: at / 3,
      requestBytes: at,
      responseBytes: at * 31,
      attempts: (at % 3) + 1,
    };
    const ended = { outcome: at % 11 === 0 ? ("error" as const) : ("ok" as const), coldStart: at % 13 === 0 };
    return callEvent({ ...who, ...what, ...used, ...ended, id: idAt(timeMs), endedAt: Math.floor(timeMs) });
  });
  const lastMs = first + 400 * HOUR_MS * 0.31;

  beforeAll(async () => {
    await publish(events);
    await eventuallyCalls(tenant, 400n);
  });

  /** What is asked, counted here from the events. */
  function counted(fields: UsageFields, keyOf: (event: CallEvent) => string): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const event of events) {
      const timeMs = timeOfId(event.id);
      if (timeMs < Number(fields.fromMs ?? 0n) || timeMs >= Number(fields.toMs ?? BigInt(lastMs + 1))) continue;
      counts[keyOf(event)] = (counts[keyOf(event)] ?? 0) + 1;
    }
    return counts;
  }

  it.each<[string, (number | undefined)?, number?]>([
    ["all"],
    ["what comes after an hour", 5],
    ["what came before an hour", undefined, 77],
    ["days and both ends", 1, 100],
    ["whole days", 24, 72],
    ["an hour", 2, 3],
  ])("counts exactly the calls of a time: %s", async (_name, from, to) => {
    const time = {
      ...(from === undefined ? {} : { fromMs: BigInt(first + HOUR_MS * from) }),
      ...(to === undefined ? {} : { toMs: BigInt(first + HOUR_MS * to) }),
    };
    const groupings: readonly (readonly [string[], (event: CallEvent) => string])[] = [
      [[], () => ""],
      [["team"], ({ team }) => team],
      [["user"], ({ principal }) => /^user:(.*)/.exec(principal)?.[1] ?? ""],
      [["agent"], ({ principal }) => /^agent:(.*)/.exec(principal)?.[1] ?? ""],
      [["server", "tool"], ({ server, tool }) => `${server} ${tool}`],
      [["principal", "tool"], ({ principal, tool }) => `${principal} ${tool}`],
    ];
    for (const [groupBy, keyOf] of groupings) {
      const { rows, total } = await getUsage({ tenant, groupBy, ...time });
      const found = rows.map((row) => [groupBy.map((name) => row.key[name]).join(" "), Number(row.calls)]);
      expect(Object.fromEntries(found)).toEqual(counted(time, keyOf));
      expect(Number(total?.calls)).toBe(Object.values(counted(time, () => "")).reduce((sum, each) => sum + each, 0));
    }
  });

  it.each([
    ["hour", (ms: number) => Math.floor(ms / HOUR_MS) * HOUR_MS],
    ["day", (ms: number) => Math.floor(ms / (24 * HOUR_MS)) * 24 * HOUR_MS],
    ["month", (ms: number) => Date.UTC(new Date(ms).getUTCFullYear(), new Date(ms).getUTCMonth())],
  ] as const)("is divided by the %s", async (step, beginning) => {
    const time = { fromMs: BigInt(first + HOUR_MS * 5), toMs: BigInt(lastMs - HOUR_MS) };
    const { rows } = await getUsage({ tenant, step, groupBy: ["team"], ...time });
    const found = rows.map((row) => [`${row.fromMs} ${row.key["team"]}`, Number(row.calls)]);
    expect(Object.fromEntries(found)).toEqual(
      counted(time, (event) => `${beginning(timeOfId(event.id))} ${event.team}`),
    );
    expect(rows.map((row) => row.fromMs)).toEqual(rows.map((row) => row.fromMs).toSorted((a, b) => Number(a - b)));
  });

  it("is the same by the hour, where calls are summed, and by the day, where days are", async () => {
    const { total: hours } = await getUsage({ tenant, step: "hour" });
    const { total: days } = await getUsage({ tenant, step: "day", groupBy: ["tool", "principal"] });
    expect(hours).toEqual(days);
    expect((await getUsage({ tenant, groupBy: ["server"] })).total).toEqual(days);
  });

  it("is filtered by any name", async () => {
    const { total } = await getUsage({ tenant, filter: { user: "ann", tool: "t3" } });
    const wanted = events.filter(({ principal, tool }) => principal === "user:ann" && tool === "t3");
    expect(Number(total?.calls)).toBe(wanted.length);
    expect((await getUsage({ tenant, filter: { user: "" } })).total?.calls).toBe(0n);
    expect((await getUsage({ tenant, filter: { team: "red" } })).total?.calls).toBe(134n);
    expect((await getUsage({ filter: { tenant } })).total?.calls).toBe(400n);
  });

  it("says up to when it is complete: now, when the stream has no more", async () => {
    const beforeMs = Date.now();
    await eventually(async () => expect((await getUsage({ tenant })).asOfMs).toBeGreaterThanOrEqual(beforeMs));
  });
});
