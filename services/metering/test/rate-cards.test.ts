import type { AppError } from "@tollgate/errors";
import type { CallEvent, ChangeEvent } from "@tollgate/contracts";
import { readEvents } from "@tollgate/bus";
import { openLife } from "@tollgate/service";
import { callEvent, eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type MeteringClient, openMeteringClient } from "./metering-client.ts";
import { idAt, openPublishing, startService } from "./metering-service.ts";

const infra = useInfrastructure();
const life = openLife(testLog);
const HOUR_MS = 3_600_000;
const changes: ChangeEvent[] = [];
let publish: Awaited<ReturnType<typeof openPublishing>>["publish"];
let metering: MeteringClient;

beforeAll(async () => {
  const service = await startService(infra);
  life.onClose("metering", 20_000, () => service.close());
  const publishing = await openPublishing(infra, life);
  ({ publish } = publishing);
  metering = openMeteringClient({ port: service.grpcPort, serviceKey: infra.serviceKey, life });
  const from = { stream: "", sequence: 0 };
  const batches = readEvents(publishing.bus, {
    from,
    kind: "change",
    batchMax: 10,
    batchWaitMs: 5,
    signal: life.signal,
  });
  void (async () => {
    for await (const { events } of batches) for (const { event } of events) changes.push(event as ChangeEvent);
  })();
});
afterAll(() => life.close());

let tests = 0;
let tenant: string;
beforeEach(() => (tenant = `tenant-${++tests}`));

function free(fields: Partial<CallEvent> = {}): CallEvent {
  return callEvent({ tenant, durationMs: 0, requestBytes: 0, responseBytes: 0, ...fields });
}

async function costs(by: string, rating = 0): Promise<Record<string, string>> {
  const { rows } = await metering.getUsage({ tenant, groupBy: [by], rating });
  return Object.fromEntries(rows.map((row) => [row.key[by], row.cost]));
}

async function eventuallyCalls(calls: number): Promise<void> {
  await eventually(async () => expect((await metering.getUsage({ tenant })).total?.calls).toBe(BigInt(calls)));
}

async function eventuallyDone(version: number): Promise<void> {
  await eventually(async () => {
    const ratings = await metering.listRatings();
    expect(ratings.find((rating) => rating.version === version)?.status).toBe("done");
  });
}

describe("a rate card", () => {
  it("prices the calls that it is for from its time on, and changes nothing that was billed before", async () => {
    const from = Date.now() + HOUR_MS;
    await metering.putRateCard({ id: "later", tenant, validFromMs: BigInt(from), perCall: "5" });
    await publish([
      free({ tool: "before" }),
      free({ tool: "just-before", id: idAt(from - 1) }),
      free({ tool: "after", id: idAt(from) }),
      free({ tenant: "somebody-else", id: idAt(from) }),
    ]);
    await eventuallyCalls(3);
    expect(await costs("tool")).toEqual({ before: "0.0001", "just-before": "0.0001", after: "5" });
    await eventually(async () => {
      const { total } = await metering.getUsage({ tenant: "somebody-else" });
      expect(total).toMatchObject({ calls: 1n, cost: "0.0001" });
    });
  });

  it("has prices of all that is used; a start is shared by those that waited for it", async () => {
    await metering.putRateCard({
      id: "everything",
      tenant,
      perCall: "1",
      perSecond: "10",
      perCpuSecond: "100",
      perMegabyte: "1000",
      perColdStart: "9",
    });
    await publish([
      free({ tool: "plain" }),
      free({ tool: "time", durationMs: 100 }),
      free({ tool: "cpu", cpuMs: 20 }),
      free({ tool: "bytes", requestBytes: 1_000, responseBytes: 500 }),
      ...["a", "b", "c"].map((tool) => free({ tool, coldStart: true, coldStartCalls: 3 })),
    ]);
    await eventuallyCalls(7);
    expect(await costs("tool")).toEqual({ plain: "1", time: "2", cpu: "3", bytes: "2.5", a: "4", b: "4", c: "4" });
  });

  it("with tiers prices each call by how many its tenant has made in the month, in stream order", async () => {
    const tiers = [
      { upTo: 2n, perCall: "1" },
      { upTo: 4n, perCall: "0.1" },
      { upTo: 0n, perCall: "0.01" },
    ];
    const november = Date.UTC(2027, 10, 15);
    await metering.putRateCard({ id: "tiers", tenant, tiers });
    const call = (tool: string, timeMs: number) => free({ tool, id: idAt(timeMs), endedAt: timeMs });
    const order = ["1", "2", "3", "4", "5", "6"].map((tool, at) => call(tool, november - at));
    // One of another month in between counts there.
    order.splice(3, 0, call("december", Date.UTC(2027, 11, 1)));
    for (const event of order) await publish([event, event]);
    await eventuallyCalls(7);
    const dear = { 1: "1", 2: "1", december: "1" };
    expect(await costs("tool")).toEqual({ ...dear, 3: "0.1", 4: "0.1", 5: "0.01", 6: "0.01" });
  });

  it("is listed with all its versions, and its change is an event with who has made it", async () => {
    const first = await metering.putRateCard({ id: "versions", tenant, perCall: "0.5", createdBy: "user:ann" });
    const { card } = await metering.putRateCard({ id: "versions", tenant, perCall: "0.25", createdBy: "user:bob" });
    expect([first.card?.version, card?.version]).toEqual([1, 2]);
    const listed = (await metering.listRateCards()).filter(({ id }) => id === "versions");
    expect(listed).toEqual([first.card, card]);
    expect(listed[1]).toMatchObject({ perCall: "0.25", perSecond: "0", createdBy: "user:bob", currency: "USD" });
    await eventually(() => {
      const mine = changes.filter(({ name }) => name === "versions");
      expect(mine.map((event) => [event.change, event.principal, event.tenant])).toEqual([
        ["created", "user:ann", tenant],
        ["updated", "user:bob", tenant],
      ]);
      expect(mine[1]).toMatchObject({
        resource: "rate_card",
        before: { perCall: "0.5" },
        after: { perCall: "0.25" },
      });
    });
  });

  it("has the currency of the others", async () => {
    await publish([free()]);
    await eventuallyCalls(1);
    const refusal = { code: "failed_precondition", message: expect.stringContaining("one currency, which is USD") };
    await expect(metering.putRateCard({ id: "euro", currency: "EUR" })).rejects.toMatchObject(refusal);
  });

  it.each(["tenant", "group", "server", "tool"])(
    "keeps its %s in all its versions: it ends the one before",
    async (name) => {
      await expect(metering.putRateCard({ id: "default", [name]: "other" })).rejects.toMatchObject({
        code: "failed_precondition",
        message: expect.stringContaining("rate card default is for other calls"),
      });
      await publish([free()]);
      await eventuallyCalls(1);
    },
  );

  it("from a time of which calls are recorded is refused, and nothing of it stays", async () => {
    const event = free();
    await publish([event]);
    await eventuallyCalls(1);
    const card = { id: "late", tenant, perCall: "2", validFromMs: BigInt(event.acceptedAt) };
    await expect(metering.putRateCard(card)).rejects.toMatchObject({ code: "failed_precondition" });
    expect((await metering.listRateCards()).some(({ id }) => id === "late")).toBe(false);
    // The same for others, of whom nothing is recorded, and for later.
    await metering.putRateCard({ ...card, id: "late-for-another", tool: "another" });
    await metering.putRateCard({ ...card, validFromMs: BigInt(event.acceptedAt + 1) });
  });

  it("from such a time prices these calls in a rating when that is asked for, and new ones from now on", async () => {
    const event = free({ tool: "recorded" });
    await publish([event]);
    await eventuallyCalls(1);
    const card = { id: "late-too", tenant, perCall: "2", validFromMs: BigInt(event.acceptedAt) };
    const { rating } = await metering.putRateCard(card, true);
    expect(rating).toMatchObject({ tenant, reason: "rate card late-too@1", by: "token:finance", status: "running" });
    await eventuallyDone(rating!.version);
    await publish([free({ tool: "new", acceptedAt: Date.now() + 10 })]);
    await eventuallyCalls(2);
    expect(await costs("tool")).toEqual({ recorded: "0.0001", new: "2" });
    expect(await costs("tool", rating!.version)).toEqual({ recorded: "2", new: "2" });
  });
});

describe("a rating", () => {
  it("prices the calls of a time and tenant anew beside their first costs, in usage and chargeback", async () => {
    const noon = Date.UTC(2026, 5, 10, 12);
    const at = (timeMs: number, tool: string) => free({ tool, id: idAt(timeMs), endedAt: timeMs });
    const other = free({ tenant: `${tenant}-other`, id: idAt(noon), endedAt: noon });
    await publish([at(noon - 1, "a"), at(noon, "a"), at(noon + HOUR_MS, "b"), at(noon + 24 * HOUR_MS, "c"), other]);
    await eventuallyCalls(4);
    const { rating: byCard } = await metering.putRateCard(
      { id: `rated-${tests}`, tenant, perCall: "3", validFromMs: BigInt(noon - HOUR_MS) },
      true,
    );
    await eventuallyDone(byCard!.version);
    const time = { fromMs: BigInt(noon), toMs: BigInt(noon + 24 * HOUR_MS) };
    const { version } = await metering.startRating({ tenant, ...time, reason: "they were promised" });
    await eventuallyDone(version);
    const found = (await metering.listRatings(tenant)).find((rating) => rating.version === version);
    expect(found).toMatchObject({ calls: 2n, costBefore: "0.0002", costAfter: "6", reason: "they were promised" });

    expect(await costs("tool")).toEqual({ a: "0.0002", b: "0.0001", c: "0.0001" });
    expect(await costs("tool", version)).toEqual({ a: "3.0001", b: "3", c: "0.0001" });
    expect(await costs("principal", byCard!.version)).toEqual({ "token:dev": "12" });
    // From sums of days and from single calls alike; counts are not touched.
    for (const range of [
      {},
      { toMs: BigInt(noon + 2 * HOUR_MS) },
      { fromMs: BigInt(noon - 1), toMs: BigInt(noon + 1) },
    ]) {
      const days = (await metering.getUsage({ tenant, rating: version, ...range })).total!;
      const hours = (await metering.getUsage({ tenant, rating: version, step: "hour", ...range })).total!;
      expect(days).toEqual(hours);
    }
    const month = { tenant, month: "2026-06" };
    expect(await metering.getChargeback(month)).toMatchObject({ total: "0.00", final: true });
    expect(await metering.getChargeback({ ...month, rating: version })).toEqual({
      lines: [{ tenant, team: "platform", calls: 4n, amount: "6.00", cost: "6.0002" }],
      total: "6.00",
      currency: "USD",
      final: true,
    });
  });

  it("of all tenants, in more than one step, sums to what its calls cost", async () => {
    await publish(
      Array.from({ length: 4_500 }, (_, at) => free({ tenant: `${tenant}-${at % 3}`, tool: `t${at % 9}` })),
    );
    await eventually(async () => {
      const { total } = await metering.getUsage({ groupBy: ["tenant"], filter: { tenant: `${tenant}-2` } });
      expect(total?.calls).toBe(1_500n);
    });
    const { version } = await metering.startRating({});
    await eventuallyDone(version);
    const rating = (await metering.listRatings()).find((each) => each.version === version)!;
    const { total } = await metering.getUsage({});
    const { total: rated } = await metering.getUsage({ rating: version, groupBy: ["tool", "principal"] });
    // Calls of the future are not among them.
    expect(Number(rating.calls)).toBeGreaterThan(4_500);
    const difference = Number(rating.costAfter) - Number(rating.costBefore);
    expect(Number(rated!.cost) - Number(total!.cost)).toBeCloseTo(difference, 6);
  });

  it("goes by the tiers as they were filled in stream order, however it goes through the calls", async () => {
    const day = Date.UTC(2026, 4, 5);
    // The later on the stream, the earlier in time.
    for (let at = 0; at < 6; at++) await publish([free({ tool: `t${at}`, id: idAt(day - at), endedAt: day - at })]);
    await eventuallyCalls(6);
    const tiers = [
      { upTo: 3n, perCall: "1" },
      { upTo: 0n, perCall: "0" },
    ];
    const card = { id: `tiered-${tests}`, tenant, tiers, validFromMs: BigInt(Date.UTC(2026, 4)) };
    const { rating } = await metering.putRateCard(card, true);
    await eventuallyDone(rating!.version);
    const expected = { t0: "1", t1: "1", t2: "1", t3: "0", t4: "0", t5: "0" };
    expect(await costs("tool", rating!.version)).toEqual(expected);
  });

  it("has to be there and done before it is asked for, and has to be of the past", async () => {
    const code = async (answer: Promise<unknown>) => ((await answer.catch((error: unknown) => error)) as AppError).code;
    expect(await code(metering.getUsage({ rating: 4_711 }))).toBe("not_found");
    expect(await code(metering.getChargeback({ month: "2026-01", rating: 4_711 }))).toBe("not_found");
    expect(await code(metering.startRating({ toMs: BigInt(Date.now() + HOUR_MS) }))).toBe("invalid_argument");
  });
});

describe("a chargeback", () => {
  it("has a line for each tenant and team, which sum to the total to the cent", async () => {
    const timeMs = Date.UTC(2026, 0, 31, 23, 59);
    await metering.putRateCard({ id: `third-${tests}`, tenant, perCall: "0.333", validFromMs: 1n });
    const teams = ["a", "b", "c", "c"];
    await publish(teams.map((team) => free({ team, id: idAt(timeMs), endedAt: timeMs })));
    await publish([free({ team: "a", id: idAt(timeMs + 60_000), endedAt: timeMs })]);
    await eventuallyCalls(5);
    const answer = await metering.getChargeback({ tenant, month: "2026-01" });
    expect(answer.lines.map(({ team, calls, amount, cost }) => [team, calls, amount, cost])).toEqual([
      ["a", 1n, "0.33", "0.333"],
      ["b", 1n, "0.33", "0.333"],
      ["c", 2n, "0.67", "0.666"],
    ]);
    expect(answer).toMatchObject({ total: "1.33", currency: "USD", final: true });
  });

  it("of a month that is not over is not final", async () => {
    const month = new Date().toISOString().slice(0, 7);
    expect(await metering.getChargeback({ tenant, month })).toEqual({
      lines: [],
      total: "0.00",
      currency: "USD",
      final: false,
    });
  });
});
