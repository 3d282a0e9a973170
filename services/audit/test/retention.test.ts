import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bus, connectBus, createEventPublisher, endOfEvents } from "@tollgate/bus";
import { type AuditEvent, auditV1, type ChangeEvent } from "@tollgate/contracts";
import { callUnary, openGrpcClient, openLife, serviceMetadata } from "@tollgate/service";
import { callEvent, eventually, refusalEvent, testLog, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configSchema } from "../src/config.ts";
import { type AuditService, startAudit } from "../src/service.ts";
import { openEvidenceClient, verifyLines } from "./evidence-client.ts";

const DAY_MS = 86_400_000;

const infra = useInfrastructure();
const life = openLife(testLog);
let folder: string;
let bus: Bus;
let admin: pg.Client;
let service: AuditService;
let evidence: ReturnType<typeof openEvidenceClient>;
let holds: ReturnType<typeof openHolds>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tollgate-retention-"));
  const { natsUrl: url, busPrefix: prefix } = infra;
  bus = await connectBus({ url, name: "test", prefix, log: testLog, signal: life.signal });
  life.onClose("bus", 5_000, () => bus.drain());
  admin = new pg.Client({ connectionString: infra.adminUrl });
  await admin.connect();
  life.onClose("client", 5_000, () => admin.end());
  await configure([]);
  const config = configSchema.parse({
    serviceKey: infra.serviceKey,
    httpPort: 0,
    grpcPort: 0,
    natsUrl: infra.natsUrl,
    busPrefix: infra.busPrefix,
    databaseUrl: infra.databaseUrl("audit"),
    signingSecret: infra.signingSecret,
    configFile: join(folder, "tollgate.yaml"),
    batchWaitMs: 20,
    checkpointMs: 100,
    retentionMs: 100,
  });
  service = await startAudit(config, testLog);
  life.onClose("service", 20_000, () => service.close());
  evidence = openEvidenceClient(infra, service.grpcPort, life);
  holds = openHolds();
});
afterAll(async () => {
  await life.close();
  await rm(folder, { recursive: true, force: true });
});

function configure(retention: readonly object[]): Promise<void> {
  return writeFile(join(folder, "tollgate.yaml"), JSON.stringify({ audit: { retention } }));
}

function openHolds() {
  const address = `127.0.0.1:${service.grpcPort}`;
  const client = openGrpcClient(auditV1.AuditServiceClient, { address, name: "holds", life });
  const options = { metadata: serviceMetadata(infra.serviceKey), timeoutMs: 10_000, service: "audit" };
  return {
    put: async (hold: Partial<auditV1.Hold>) => {
      const whole = { ...auditV1.Hold.create(), reason: "a case", createdBy: "user:counsel", ...hold };
      return (await callUnary(client.putHold.bind(client), { hold: whole }, options)).hold!;
    },
    list: async (tenant = "") => (await callUnary(client.listHolds.bind(client), { tenant }, options)).holds,
    release: async (id: string, tenant = "") =>
      (await callUnary(client.releaseHold.bind(client), { id, tenant, by: "user:judge" }, options)).hold!,
    retention: async (tenant: string) =>
      (await callUnary(client.listRetention.bind(client), { tenant }, options)).retention,
  };
}

const nowMs = Date.now();
let serial = 0;

function idAt(timeMs: number): string {
  const time = timeMs.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${String(++serial).padStart(12, "0")}`;
}

function callOf(tenant: string, daysAgo: number): AuditEvent {
  const endedAt = nowMs - daysAgo * DAY_MS;
  return callEvent({ tenant, id: idAt(endedAt), acceptedAt: endedAt, endedAt });
}

/** What is ready together is one message, and so recorded at once: each chain gets one segment of it. */
async function record(events: readonly AuditEvent[]): Promise<void> {
  const publisher = createEventPublisher(bus, { waitingMax: 20_000, timeoutMs: 10_000 });
  await Promise.all(events.map((event) => publisher.publish(event)));
  await eventually(async () => {
    const { last } = await endOfEvents(bus);
    const { rows } = await admin.query<{ sequence: string }>("SELECT sequence FROM audit.position");
    expect(Number(rows[0]!.sequence)).toBeGreaterThanOrEqual(last);
  });
  await eventually(async () => {
    for (const { tenant, checkpointNumber, lastNumber } of await evidence.chains())
      if (events.some((event) => event.tenant === tenant)) expect(checkpointNumber).toBe(lastNumber);
  });
}

/** One segment after the other. */
async function recordApart(...groups: AuditEvent[][]): Promise<void> {
  for (const events of groups) await record(events);
}

async function idsOf(tenant: string): Promise<string[]> {
  const { rows } = await admin.query<{ id: string }>(
    "SELECT id FROM audit.events WHERE tenant = $1 AND kind IN ('call', 'refusal') ORDER BY kind, number",
    [tenant],
  );
  return rows.map(({ id }) => id);
}

async function changesOf(tenant: string, resource: string): Promise<ChangeEvent[]> {
  const { rows } = await admin.query<{ event: string }>(
    "SELECT event FROM audit.events WHERE tenant = $1 AND kind = 'change' ORDER BY number",
    [tenant],
  );
  return rows.map(({ event }) => JSON.parse(event) as ChangeEvent).filter((change) => change.resource === resource);
}

describe("retention", () => {
  it("lets go of whole segments of the oldest events, says so, and what is left proves itself", async () => {
    const [old, mixed, young] = [
      [callOf("cut", 20), callOf("cut", 19)],
      [callOf("cut", 18), callOf("cut", 3)],
      [callOf("cut", 2)],
    ];
    await recordApart(old, mixed, young);
    await record([refusalEvent({ tenant: "cut", id: idAt(nowMs - 15 * DAY_MS), endedAt: nowMs - 15 * DAY_MS })]);
    const before = await idsOf("cut");
    await configure([{ tenant: "cut", kind: "call", days: 10 }]);

    // The middle one holds an event that is young enough: it stays as a whole. Refusals are kept for seven years.
    const left = before.filter((id) => !old.some((event) => event.id === id));
    await eventually(async () => expect(await idsOf("cut")).toEqual(left));
    const [change, ...more] = await eventually(async () => {
      const changes = await changesOf("cut", "retention");
      expect(changes.length).toBeGreaterThan(0);
      return changes;
    });
    expect(more).toEqual([]);
    expect(change).toMatchObject({
      change: "deleted",
      name: "cut/call",
      before: { firstNumber: 1 },
      after: { firstNumber: 3 },
    });

    const chain = (await evidence.chains("cut")).find(({ kind }) => kind === "call");
    expect(chain).toMatchObject({ firstNumber: 3n, lastNumber: 5n });
    const { findings, report } = await verifyLines(await evidence.exportEvidence({ tenant: "cut", kind: "call" }));
    expect(findings).toEqual([]);
    expect(report).toMatchObject({ chains: 1, events: 3 });
    expect((await evidence.verify({ tenant: "cut" })).findings).toEqual([]);
    expect(await holds.retention("cut")).toContainEqual(
      expect.objectContaining({ tenant: "cut", kind: "call", days: 10, heldBy: "" }),
    );
  });

  it("goes on as time goes on, from where it was", async () => {
    await configure([{ tenant: "cut", kind: "call", days: 1 }]);
    await eventually(async () => expect(await idsOf("cut")).toHaveLength(1));
    await record([callOf("cut", 0)]);
    const { findings, report } = await verifyLines(await evidence.exportEvidence({ tenant: "cut", kind: "call" }));
    expect(findings).toEqual([]);
    expect(report).toMatchObject({ events: 1 });
    const { rows } = await admin.query("SELECT number FROM audit.cuts WHERE tenant = 'cut'");
    expect(rows).toEqual([{ number: "5" }]);
  });

  it("drops partitions that are empty, and only those", async () => {
    await record([callOf("months", 200), callOf("months", 100)]);
    const tables = async (): Promise<string[]> => {
      const { rows } = await admin.query<{ name: string }>(
        "SELECT tableoid::regclass::text AS name FROM audit.events WHERE tenant = 'months' ORDER BY time",
      );
      return rows.map(({ name }) => name);
    };
    const [oldest, other] = await tables();
    expect(other).not.toBe(oldest);
    await configure([{ tenant: "months", days: 30 }]);
    await eventually(async () => {
      const { rows } = await admin.query("SELECT to_regclass($1) AS found", [oldest]);
      expect(rows).toEqual([{ found: null }]);
    });
    // It comes back when it is needed.
    await record([callOf("later", 200)]);
    expect(await idsOf("later")).toHaveLength(1);
  });
});

describe("a legal hold", () => {
  it("keeps what it is on and all behind it until it is released, and both are on the record", async () => {
    const [first, held, last] = [[callOf("held", 30)], [callOf("held", 25)], [callOf("held", 20)]];
    await recordApart(first, held, last);
    const at = BigInt(nowMs - 25 * DAY_MS);
    const hold = await holds.put({ tenant: "held", kind: "call", fromMs: at, toMs: at + 1n });
    await configure([
      { tenant: "held", days: 10 },
      { tenant: "later", days: 10 },
    ]);

    const kept = [...held, ...last].map(({ id }) => id);
    await eventually(async () => expect(await idsOf("held")).toEqual(kept));
    await eventually(async () =>
      expect(await holds.retention("held")).toContainEqual(expect.objectContaining({ kind: "call", heldBy: hold.id })),
    );
    // Chains are looked at by their names: when that one is gone, this one was looked at, too.
    await record([callOf("later", 20)]);
    await eventually(async () => expect(await idsOf("later")).toEqual([]));
    expect(await idsOf("held")).toEqual(kept);
    expect(await holds.list("held")).toEqual([hold]);
    expect(await holds.list("other")).toEqual([]);
    await expect(holds.release(hold.id, "other")).rejects.toThrow("no such hold");

    const released = await holds.release(hold.id);
    expect(released).toMatchObject({ id: hold.id, releasedBy: "user:judge" });
    expect(await holds.release(hold.id)).toEqual(released);
    await eventually(async () => expect(await idsOf("held")).toEqual([]));
    const changes = await eventually(async () => {
      const found = await changesOf("held", "hold");
      expect(found).toHaveLength(2);
      return found;
    });
    expect(changes).toMatchObject([
      { change: "created", name: hold.id, principal: "user:counsel", after: { reason: "a case" } },
      { change: "deleted", name: hold.id, principal: "user:judge", before: { reason: "a case" } },
    ]);
  });

  it("without a tenant or a kind is on everything of its time", async () => {
    const event = callOf("everyone", 30);
    await record([event]);
    const hold = await holds.put({ toMs: BigInt(nowMs - 29 * DAY_MS) });
    await configure([{ days: 10 }]);
    await record([callOf("witness", 20)]);
    await eventually(async () => expect(await idsOf("witness")).toEqual([]));
    expect(await idsOf("everyone")).toEqual([event.id]);
    await holds.release(hold.id);
    await eventually(async () => expect(await idsOf("everyone")).toEqual([]));
  });

  it("has to say what it is for, and may not be without sense", async () => {
    await expect(holds.put({ reason: "  " })).rejects.toThrow("reason");
    await expect(holds.put({ tenant: "Not A Name" })).rejects.toThrow("tenant");
    await expect(holds.put({ kind: "calls" })).rejects.toThrow("kind");
    await expect(holds.put({ fromMs: 5n, toMs: 5n })).rejects.toThrow("to_ms");
    await expect(holds.release("nothing")).rejects.toThrow("no such hold");
  });
});

it("after all of that the record proves itself, also chains of which nothing is left, and what comes then", async () => {
  expect((await evidence.verify()).findings).toEqual([]);
  expect((await verifyLines(await evidence.exportEvidence())).findings).toEqual([]);
  await configure([]);
  await record([callOf("witness", 0)]);
  const [chain] = await evidence.chains("witness");
  expect(chain).toMatchObject({ kind: "call", firstNumber: 2n, lastNumber: 2n });
  expect((await evidence.verify({ tenant: "witness" })).findings).toEqual([]);
  const { findings, report } = await verifyLines(await evidence.exportEvidence({ tenant: "witness", kind: "call" }));
  expect(findings).toEqual([]);
  expect(report).toMatchObject({ chains: 1, events: 1 });
});

describe("a cut that nobody has signed", () => {
  it("is found: rows that somebody has deleted, and the chain's beginning moved", async () => {
    await configure([]);
    await recordApart([callOf("forged", 2)], [callOf("forged", 1)], [callOf("forged", 0)]);
    await admin.query("DELETE FROM audit.events WHERE tenant = 'forged' AND number <= 2");
    await admin.query("DELETE FROM audit.checkpoints WHERE tenant = 'forged' AND number < 2");
    await admin.query("UPDATE audit.chains SET first_number = 3 WHERE tenant = 'forged'");
    expect((await evidence.verify({ tenant: "forged" })).findings).not.toEqual([]);
    const { findings } = await verifyLines(await evidence.exportEvidence({ tenant: "forged" }));
    expect(findings).not.toEqual([]);
  });

  it("is found with another chain's cut in its place, too", async () => {
    const { rows } = await admin.query<{ cut: string }>("SELECT cut FROM audit.cuts LIMIT 1");
    const cut = JSON.stringify({ ...(JSON.parse(rows[0]!.cut) as object), tenant: "forged", kind: "call", number: 2 });
    await admin.query("INSERT INTO audit.cuts (tenant, kind, number, cut) VALUES ('forged', 'call', 2, $1)", [cut]);
    expect((await evidence.verify({ tenant: "forged" })).findings).not.toEqual([]);
    const { findings } = await verifyLines(await evidence.exportEvidence({ tenant: "forged" }));
    expect(findings).not.toEqual([]);
  });

  it("does not hide that events were gone before retention let go of them: that is an alert", async () => {
    await recordApart([callOf("robbed", 30), callOf("robbed", 29)], [callOf("robbed", 0)]);
    await admin.query("DELETE FROM audit.events WHERE tenant = 'robbed' AND number = 1");
    // It is stored together with the cut, or not at all: without a place for it there is no cut.
    await admin.query("ALTER TABLE audit.outbox ADD CONSTRAINT none CHECK (event NOT LIKE '%missing_events%')");
    await configure([{ tenant: "robbed", days: 10 }]);
    await eventually(async () => expect(await changesOf("robbed", "retention")).not.toEqual([]));
    await admin.query("SELECT pg_sleep(0.3)");
    expect(await idsOf("robbed")).toHaveLength(2);
    await admin.query("ALTER TABLE audit.outbox DROP CONSTRAINT none");
    await eventually(async () =>
      expect(await alerts()).toContainEqual(
        expect.stringContaining("1 of the events 1 to 2 of robbed/call were gone before retention let go of them"),
      ),
    );
    expect(await idsOf("robbed")).toHaveLength(1);
  });

  it("is not made for events that are young, whatever stands beside their checkpoint, nor for changed ones", async () => {
    await recordApart([callOf("aged", 1), callOf("aged", 0)], [callOf("aged", 0)], [callOf("changed", 30)]);
    const ids = await idsOf("aged");
    await admin.query(
      "UPDATE audit.checkpoints SET first_time = '2015-01-01', last_time = '2015-01-02' WHERE tenant = 'aged'",
    );
    await admin.query(
      `UPDATE audit.events SET event = replace(event, '"v":1', '"v":1,"x":1') WHERE tenant = 'changed'`,
    );
    await recordApart([callOf("then", 30)]);
    await configure([{ days: 10 }]);
    // Chains are looked at by their names: when that one is gone, those were looked at, too.
    await eventually(async () => expect(await idsOf("then")).toEqual([]));
    expect(await idsOf("aged")).toEqual(ids);
    expect(await idsOf("changed")).toHaveLength(1);
    const { rows } = await admin.query("SELECT 1 FROM audit.cuts WHERE tenant IN ('aged', 'changed')");
    expect(rows).toEqual([]);
    expect((await evidence.verify({ tenant: "aged" })).findings).toMatchObject([
      { what: "checkpoint", number: 2n },
      { what: "checkpoint", number: 3n },
    ]);
    await eventually(async () =>
      expect(await alerts()).toContainEqual(
        "nothing more is let go of in changed/call: event 1 of changed/call is not what was recorded",
      ),
    );
  });
});

async function alerts(): Promise<string[]> {
  const { rows } = await admin.query<{ event: string }>("SELECT event FROM audit.events WHERE kind = 'alert'");
  return rows.map(({ event }) => (JSON.parse(event) as { reason: string }).reason);
}
