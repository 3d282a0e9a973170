import { type Bus, connectBus, createEventPublisher, type EventPublisher } from "@tollgate/bus";
import { newCallId, timeOfId } from "@tollgate/contracts";
import { openLife } from "@tollgate/service";
import { callEvent, refusalEvent, eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configSchema } from "../src/config.ts";
import { type MeteringService, startMetering } from "../src/service.ts";
import { openMeteringClient } from "./metering-client.ts";

const infra = useInfrastructure();
const life = openLife(testLog);
let bus: Bus;
let publisher: EventPublisher;
let service: MeteringService;
let getUsage: ReturnType<typeof openMeteringClient>;
let admin: pg.Client;

beforeAll(async () => {
  const config = configSchema.parse({
    serviceKey: infra.serviceKey,
    httpPort: 0,
    grpcPort: 0,
    natsUrl: infra.natsUrl,
    busPrefix: infra.busPrefix,
    databaseUrl: infra.databaseUrl("metering"),
    batchWaitMs: 20,
  });
  service = await startMetering(config, testLog);
  life.onClose("metering", 20_000, () => service.close());
  bus = await connectBus({
    url: infra.natsUrl,
    name: "test",
    prefix: infra.busPrefix,
    log: testLog,
    signal: life.signal,
  });
  life.onClose("bus", 5_000, () => bus.drain());
  publisher = createEventPublisher(bus, { waitingMax: 1_000, timeoutMs: 5_000 });
  getUsage = openMeteringClient({ port: service.grpcPort, serviceKey: infra.serviceKey, life });
  admin = new pg.Client({ connectionString: infra.adminUrl });
  await admin.connect();
  life.onClose("admin", 5_000, () => admin.end());
});
afterAll(() => life.close());

async function publish(events: readonly Parameters<EventPublisher["publish"]>[0][]): Promise<void> {
  await Promise.all(events.map((event) => publisher.publish(event)));
}

async function eventuallyCalls(tenant: string, calls: bigint): Promise<void> {
  await eventually(async () => expect((await getUsage({ tenant })).total?.calls).toBe(calls));
}

describe("usage", () => {
  it("is what the calls used and cost, by tool, the dearest first, with a total over all", async () => {
    const tenant = "sums";
    await publish([
      callEvent({ tenant, tool: "cheap", durationMs: 0 }),
      callEvent({ tenant, tool: "dear", durationMs: 2_000.5, responseBytes: 1_000_000, coldStart: true }),
      callEvent({ tenant, tool: "dear", durationMs: 0.0004, outcome: "tool_error" }),
      callEvent({ tenant, tool: "b", durationMs: 0 }),
    ]);
    await eventuallyCalls(tenant, 4n);

    const { rows, total, currency } = await getUsage({ tenant, groupBy: ["tool"], limit: 2 });
    expect(currency).toBe("USD");
    expect(rows.map((row) => row.key)).toEqual([{ tool: "dear" }, { tool: "b" }]);
    expect(rows[0]).toEqual({
      key: { tool: "dear" },
      calls: 2n,
      errors: 1n,
      durationMs: 2_001n,
      requestBytes: 200n,
      responseBytes: 1_000_200n,
      coldStarts: 1n,
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

  it("is zero where there was nothing", async () => {
    const zero = {
      key: {},
      calls: 0n,
      errors: 0n,
      durationMs: 0n,
      requestBytes: 0n,
      responseBytes: 0n,
      coldStarts: 0n,
      cost: "0",
    };
    expect(await getUsage({ tenant: "nobody" })).toEqual({ rows: [zero], total: zero, currency: "USD" });
    expect(await getUsage({ tenant: "nobody", groupBy: ["tool"] })).toEqual({ rows: [], total: zero, currency: "USD" });
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

describe("a new rate card", () => {
  it("holds for calls made from its time on, and changes nothing that was billed before", async () => {
    const from = Date.now() + 3_600_000;
    await publish([callEvent({ tenant: "cards", tool: "before", durationMs: 0 })]);
    await eventuallyCalls("cards", 1n);
    await admin.query(
      "INSERT INTO metering.rate_cards VALUES ('default', 2, 5, 0, 0, 0, 'USD', to_timestamp($1::float8 / 1000))",
      [from],
    );
    await publish([
      callEvent({ tenant: "cards", tool: "just-before", id: idAt(from - 1), durationMs: 0 }),
      callEvent({ tenant: "cards", tool: "after", id: idAt(from), durationMs: 0 }),
    ]);
    await eventuallyCalls("cards", 3n);
    const { rows } = await getUsage({ tenant: "cards", groupBy: ["tool"] });
    expect(Object.fromEntries(rows.map((row) => [row.key["tool"], row.cost]))).toEqual({
      before: "0.000100003",
      "just-before": "0.000100003",
      after: "5",
    });
  });

  it("of another currency stops pricing, and says so, rather than mixing", async () => {
    await admin.query("INSERT INTO metering.rate_cards VALUES ('default', 3, 1, 0, 0, 0, 'EUR', now())");
    try {
      await publish([callEvent({ tenant: "mixed" })]);
      await expect(getUsage({ tenant: "mixed" })).rejects.toMatchObject({ code: "failed_precondition" });
      await eventually(async () => {
        const ready = await fetch(`http://127.0.0.1:${service.httpPort}/readyz`);
        expect(await ready.json()).toMatchObject({ reasons: { store: expect.stringContaining("one currency") } });
      });
    } finally {
      await admin.query("DELETE FROM metering.rate_cards WHERE version = 3");
    }
    await eventuallyCalls("mixed", 1n);
  });
});

/** Not newCallId: it never goes back behind a time that it has seen. */
function idAt(timeMs: number): string {
  const time = timeMs.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}${newCallId(Date.now()).slice(13)}`;
}
