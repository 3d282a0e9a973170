import { connectBus, createEventPublisher } from "@tollgate/bus";
import { type CallEvent, timeOfId } from "@tollgate/contracts";
import { openLife } from "@tollgate/service";
import { callEvent, refusalEvent, eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configSchema } from "../src/config.ts";
import { startAudit } from "../src/service.ts";
import { openAuditClient } from "./audit-client.ts";

const EVENTS = 250;
const HOUR_MS = 3_600_000;

const infra = useInfrastructure();
const life = openLife(testLog);
let audit: ReturnType<typeof openAuditClient>;
/** Of tenant acme, oldest first. */
const events: CallEvent[] = [];

beforeAll(async () => {
  const config = configSchema.parse({
    serviceKey: infra.serviceKey,
    httpPort: 0,
    grpcPort: 0,
    natsUrl: infra.natsUrl,
    busPrefix: infra.busPrefix,
    databaseUrl: infra.databaseUrl("audit"),
    signingSecret: infra.signingSecret,
    batchWaitMs: 20,
  });
  const service = await startAudit(config, testLog);
  life.onClose("audit", 20_000, () => service.close());
  const bus = await connectBus({
    url: infra.natsUrl,
    name: "test",
    prefix: infra.busPrefix,
    log: testLog,
    signal: life.signal,
  });
  life.onClose("bus", 5_000, () => bus.drain());
  audit = openAuditClient({ port: service.grpcPort, serviceKey: infra.serviceKey, life });

  // Many of one millisecond, so that pages end between events of the same time; the last third is of another month.
  const start = Date.UTC(2026, 9, 31, 23);
  for (let i = 0; i < EVENTS; i++) {
    const acceptedAt = start + Math.floor(i / 40) * (HOUR_MS / 4);
    events.push(callEvent({ acceptedAt, tool: `tool-${i % 5}`, principal: i === 7 ? "token:rare" : "token:dev" }));
  }
  const publisher = createEventPublisher(bus, { waitingMax: 1_000, timeoutMs: 5_000 });
  const others = Array.from({ length: 20 }, () => callEvent({ tenant: "other" }));
  const refusals = [refusalEvent({ code: "overloaded", tenant: "other" })];
  await Promise.all([...events, ...others, ...refusals].map((event) => publisher.publish(event)));
  await eventually(async () => expect((await audit.list({ pageSize: 1_000 })).events).toHaveLength(EVENTS + 21));
});
afterAll(() => life.close());

const idsOf = (lines: readonly string[]): string[] => lines.map((line) => (JSON.parse(line) as CallEvent).id);

describe("pages", () => {
  it.each([1, 7, 100, 249, 250, 251])("of %i cover all events exactly once, newest first", async (pageSize) => {
    const { events: lines, pages } = await audit.listAll({ tenant: "acme", pageSize });
    expect(idsOf(lines)).toEqual(events.map((event) => event.id).toReversed());
    expect(pages).toBe(Math.ceil(EVENTS / pageSize));
  });

  it("cover all tenants when none is named", async () => {
    const { events: lines } = await audit.listAll({ pageSize: 40 });
    expect(new Set(idsOf(lines)).size).toBe(EVENTS + 21);
    expect(idsOf(lines)).toEqual(idsOf(lines).toSorted().toReversed());
  });

  it("never hold another tenant's event, not with a cursor made from one either", async () => {
    const { nextCursor } = await audit.list({ tenant: "other", pageSize: 3 });
    const { events: lines } = await audit.listAll({ tenant: "acme", pageSize: 50, cursor: nextCursor });
    expect(lines.every((line) => (JSON.parse(line) as CallEvent).tenant === "acme")).toBe(true);
    expect((await audit.list({ tenant: "nobody" })).events).toEqual([]);
    expect((await audit.list({ tenant: "other", id: events[0]!.id })).events).toEqual([]);
  });

  it("refuse what is no cursor, and sizes past the bound", async () => {
    await expect(audit.list({ cursor: "garbage" })).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(audit.list({ pageSize: 1_001 })).rejects.toMatchObject({ code: "invalid_argument" });
  });
});

describe("filters", () => {
  it("find by id, with and without the tenant", async () => {
    const { id } = events[42]!;
    expect(idsOf((await audit.list({ id })).events)).toEqual([id]);
    expect(idsOf((await audit.list({ id, tenant: "acme" })).events)).toEqual([id]);
  });

  it("find by each field", async () => {
    expect((await audit.listAll({ tenant: "acme", tool: "tool-3" })).events).toHaveLength(EVENTS / 5);
    expect(idsOf((await audit.list({ principal: "token:rare" })).events)).toEqual([events[7]!.id]);
    expect((await audit.list({ kind: "refusal" })).events).toHaveLength(1);
    expect((await audit.list({ outcome: "overloaded" })).events).toHaveLength(1);
    expect((await audit.list({ group: "none" })).events).toEqual([]);
    expect((await audit.list({ tenant: "other", server: "everything", outcome: "ok" })).events).toHaveLength(20);
  });

  it("bound the time, from inclusive and to exclusive", async () => {
    const from = timeOfId(events[100]!.id);
    const to = timeOfId(events[200]!.id);
    const expected = events.filter((event) => timeOfId(event.id) >= from && timeOfId(event.id) < to);
    const { events: lines } = await audit.listAll({
      tenant: "acme",
      fromMs: BigInt(from),
      toMs: BigInt(to),
      pageSize: 30,
    });
    expect(idsOf(lines)).toEqual(expected.map((event) => event.id).toReversed());
  });
});
