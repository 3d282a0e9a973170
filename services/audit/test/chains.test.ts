import { randomBytes } from "node:crypto";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bus, connectBus, createEventPublisher, endOfEvents } from "@tollgate/bus";
import { type AuditEvent, type CallEvent, facetsOf, newCallId, type RefusalEvent, timeOfId } from "@tollgate/contracts";
import { migrate, openLife, openPartitions, openPool, type Pool } from "@tollgate/service";
import { callEvent, eventually, refusalEvent, testLog, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { differingColumns } from "../src/domain/stored-event.ts";
import type { AuditService } from "../src/service.ts";
import { readStored } from "../src/store/chain-events.ts";
import { expectChainsToHold, readRecord, startRecorder } from "./record.ts";

const MIGRATIONS = join(import.meta.dirname, "../migrations");

const infra = useInfrastructure();
const life = openLife(testLog);
let admin: pg.Client;
let bus: Bus;
const services: AuditService[] = [];

beforeAll(async () => {
  admin = new pg.Client({ connectionString: infra.adminUrl });
  await admin.connect();
  life.onClose("client", 5_000, () => admin.end());
  bus = await connectBus({
    url: infra.natsUrl,
    name: "test",
    prefix: infra.busPrefix,
    log: testLog,
    signal: life.signal,
  });
  life.onClose("bus", 5_000, () => bus.drain());
});
afterAll(() => life.close());
beforeEach(async () => {
  await remakeStream();
  await emptyDatabase();
});
afterEach(() => stopAll());

async function start(): Promise<AuditService> {
  const service = await startRecorder(infra);
  services.push(service);
  return service;
}
async function stopAll(): Promise<void> {
  await Promise.all(services.splice(0).map((service) => service.close()));
}

async function emptyDatabase(): Promise<void> {
  await admin.query(`DROP SCHEMA audit CASCADE; CREATE SCHEMA audit AUTHORIZATION tollgate_audit`);
}

async function remakeStream(): Promise<void> {
  const { audit } = bus.subjects.streams;
  const { config } = await bus.jsm.streams.info(audit);
  await bus.jsm.streams.delete(audit);
  await bus.jsm.streams.add(config);
}

async function publish(events: readonly AuditEvent[]): Promise<void> {
  const publisher = createEventPublisher(bus, { waitingMax: 20_000, timeoutMs: 10_000 });
  await Promise.all(events.map((event) => publisher.publish(event)));
}
/** Each a message of its own, in this order. */
async function publishEach(events: readonly AuditEvent[]): Promise<void> {
  for (const event of events) await bus.js.publish(bus.subjects.audit(event.tenant, event.kind), JSON.stringify(event));
}

function sampleEvents(count: number): AuditEvent[] {
  return Array.from({ length: count }, (_, i) => {
    const tenant = `tenant-${i % 3}`;
    return i % 5 === 0 ? refusalEvent({ tenant }) : callEvent({ tenant, tool: `tool-${i % 7}` });
  });
}

async function untilRecorded(timeoutMs = 20_000): Promise<void> {
  await eventually(
    async () => {
      const { stream, last } = await endOfEvents(bus);
      const { rows } = await admin.query("SELECT stream, sequence FROM audit.position");
      expect(rows).toEqual([{ stream, sequence: String(last) }]);
    },
    { timeoutMs },
  );
}

async function storedIds(order = "tenant, kind, number"): Promise<string[]> {
  const { rows } = await admin.query<{ id: string }>(`SELECT id FROM audit.events ORDER BY ${order}`);
  return rows.map(({ id }) => id);
}

const idsOf = (events: readonly AuditEvent[]): string[] => events.map(({ id }) => id);

describe("a chain", () => {
  it("has the events of one tenant and kind in the order of the stream, with what they are found by", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const denied = { allow: false, policies: ['a "b" \\c', "d,{}"], revision: 2, reason: "not\0you" };
    const calls = Array.from({ length: 300 }, () => callEvent({ tenant: "order" }));
    const refusal = {
      ...refusalEvent({ tenant: "order", decision: denied, team: "red", reason: "why\tnot" }),
      traceparent,
    };
    const silent = {
      ...refusalEvent({ tenant: "order", decision: denied }),
      reason: undefined,
    } as unknown as AuditEvent;
    await publishEach([...calls.slice(0, 150), refusal, silent, ...calls.slice(150)]);
    await start();
    await untilRecorded();
    expect(await storedIds()).toEqual([...idsOf(calls), refusal.id, silent.id]);
    await expectChainsToHold(admin);
    const { rows } = await admin.query("SELECT * FROM audit.events WHERE kind = 'refusal' ORDER BY number");
    expect(rows).toMatchObject([
      {
        number: "1",
        sequence: "151",
        team: "red",
        decision: "deny",
        policies: denied.policies,
        trace: "0af7651916cd43dd8448eb211c80319c",
        reason: "why\tnot",
        event: JSON.stringify(refusal),
      },
      { number: "2", team: null, trace: null, reason: "not\u{fffd}you" },
    ]);
    const [call] = (await admin.query("SELECT * FROM audit.events WHERE kind = 'call' LIMIT 1")).rows;
    expect(call).toMatchObject({ decision: "allow", policies: ["all"], reason: null, team: "platform" });
  });

  it("has of events with one id the first on the stream, wherever the others are", async () => {
    const first = callEvent();
    const later = { ...first, outcome: "unknown" as const };
    const before = sampleEvents(10);
    await publishEach([...before, first, later, callEvent()]);
    await start();
    await untilRecorded();
    const next = callEvent();
    await publishEach([later, next, { ...later, tenant: "another" }, before[3]!]);
    await untilRecorded();
    const { rows } = await admin.query("SELECT tenant, outcome FROM audit.events WHERE id = $1 ORDER BY 1", [first.id]);
    expect(rows).toEqual([
      { tenant: "acme", outcome: "ok" },
      { tenant: "another", outcome: "unknown" },
    ]);
    expect(await storedIds()).toHaveLength(14);
    await expectChainsToHold(admin);
  });
});

async function metric(service: AuditService, name: string): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${service.httpPort}/metrics`)).text();
  return Number(new RegExp(`^tollgate_audit_${name} (\\d+)$`, "m").exec(metrics)?.[1]);
}

describe("of several replicas", () => {
  it("one records, and another goes on when it stops", async () => {
    const [first, second] = [await start(), await start()];
    await publish(sampleEvents(200));
    await untilRecorded();
    const leading = [await metric(first, "leading"), await metric(second, "leading")];
    expect(leading.toSorted((a, b) => a - b)).toEqual([0, 1]);
    const leader = leading[0] === 1 ? first : second;
    services.splice(services.indexOf(leader), 1);
    await leader.close();
    await publish(sampleEvents(200));
    await untilRecorded();
    expect(await storedIds()).toHaveLength(400);
    await expectChainsToHold(admin);
  });

  it("two that both believe to lead store each event once all the same", async () => {
    await start();
    // Everybody gets a lock: a database behind a proxy that shares sessions would be like this.
    await admin.query(`
      CREATE FUNCTION audit.pg_try_advisory_lock(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';
      ALTER ROLE tollgate_audit IN DATABASE "${new URL(infra.adminUrl).pathname.slice(1)}" SET search_path = audit, pg_catalog`);
    try {
      await stopAll();
      const replicas = await Promise.all([start(), start(), start()]);
      await eventually(async () => {
        for (const replica of replicas) expect(await metric(replica, "leading")).toBe(1);
      });
      const given = sampleEvents(6_000);
      for (let at = 0; at < given.length; at += 200) await publish(given.slice(at, at + 200));
      await untilRecorded(40_000);
      expect(new Set(await storedIds())).toEqual(new Set(idsOf(given)));
      expect(await storedIds()).toHaveLength(given.length);
      await expectChainsToHold(admin);
      // The fence has kept them apart, and not only the key.
      for (const replica of replicas) expect(await metric(replica, "events_duplicate_total")).toBe(0);
    } finally {
      await admin.query(
        `ALTER ROLE tollgate_audit IN DATABASE "${new URL(infra.adminUrl).pathname.slice(1)}" RESET search_path`,
      );
    }
  }, 90_000);
});

describe("another stream", () => {
  it("that was made anew is recorded from its beginning, behind what is there", async () => {
    const old = sampleEvents(50);
    await publish(old);
    await start();
    await untilRecorded();
    await remakeStream();
    const fresh = sampleEvents(20);
    await publish([...fresh, ...old.slice(10, 20)]);
    await untilRecorded();
    expect(await storedIds()).toHaveLength(70);
    await expectChainsToHold(admin);
  }, 60_000);

  it("that has lost messages before they were recorded says so in an alert, and the others are recorded", async () => {
    await start();
    await publishEach(sampleEvents(5));
    await untilRecorded();
    await stopAll();
    await publishEach(sampleEvents(10));
    await bus.jsm.streams.purge(bus.subjects.streams.audit, { seq: 9 });
    await start();
    await eventually(async () => {
      const { rows } = await admin.query("SELECT tenant, outcome, reason FROM audit.events WHERE kind = 'alert'");
      expect(rows).toEqual([
        { tenant: "tollgate", outcome: "missing_events", reason: expect.stringContaining("messages 6 to 8 ") },
      ]);
    });
    expect(await storedIds()).toHaveLength(5 + 7 + 1);
    await expectChainsToHold(admin);
  });
});

describe("an empty database", () => {
  it("becomes what it was, to the byte", async () => {
    const given = sampleEvents(3_000);
    const twice = given[7] as CallEvent;
    await publish(given.slice(0, 2_000));
    await start();
    await untilRecorded();
    await publish([{ ...twice, outcome: "unknown" }, ...given.slice(2_000)]);
    await publishEach([{ ...twice, outcome: "timeout" }, refusalEvent({ tool: "nul\0tool" })]);
    await untilRecorded();
    const before = await readRecord(admin);
    expect(before["events"]).toHaveLength(3_001);
    await stopAll();

    await emptyDatabase();
    await start();
    await untilRecorded();
    expect(await readRecord(admin)).toEqual(before);
  }, 60_000);
});

describe("a table of before there were chains", () => {
  /** The database as the first migration left it. */
  async function openOldDatabase(pool: Pool): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), "tollgate-migrations-"));
    try {
      await copyFile(join(MIGRATIONS, "0001-events.sql"), join(directory, "0001-events.sql"));
      await migrate({ pool, schema: "audit", directory, log: testLog });
    } finally {
      await rm(directory, { recursive: true });
    }
  }

  it("keeps its rows, chained in the order of the stream, and is completed from the stream", async () => {
    const pool = await openPool({ url: infra.databaseUrl("audit"), max: 2, name: "test", life, log: testLog });
    await openOldDatabase(pool);
    // No index would take it, and it does not become small by compression. Other characters come behind the cut: a
    // database without an encoding cuts between bytes.
    const longUri = randomBytes(8_000).toString("base64url");
    const lastMonth = Date.now() - 40 * 86_400_000;
    const [first, second, third, other] = [
      callEvent({ traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }),
      callEvent({ acceptedAt: lastMonth, id: idAt(lastMonth) }),
      refusalEvent({
        decision: { allow: false, policies: ["p", "q"], revision: 1, reason: "no\0" },
        tool: `${longUri}, nul\0`,
      }),
      callEvent({ tenant: "other", tool: longUri, reason: `${longUri}, half a pair: \ud800, none: \\u0000 😀` }),
    ] as const;
    const partitions = await openPartitions({ pool, schema: "audit", table: "events", log: testLog });
    for (const [i, event] of [second, third, other, first].entries()) {
      await partitions.ensure([timeOfId(event.id)]);
      const sequence = event === first ? 1 : i + 2;
      await pool.query(
        `INSERT INTO audit.events
           (time, sequence, id, tenant, kind, event, tool, outcome, principal, group_id, server)
         VALUES (to_timestamp($1::float8 / 1000), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
        [timeOfId(event.id), sequence, event.id, event.tenant, event.kind, JSON.stringify(event), ...columnsOf(event)],
      );
    }
    const missed = callEvent();
    await publishEach([first, missed, second]);
    await start();
    await untilRecorded();
    expect(await storedIds()).toEqual([first.id, second.id, missed.id, third.id, other.id]);
    await expectChainsToHold(admin);
    for (const event of [first, third, other])
      for await (const stored of readStored(pool, event, 0, 10))
        expect(stored.flatMap((each) => differingColumns(each))).toEqual([]);
    const { rows } = await admin.query(
      "SELECT team, decision, policies, trace, reason FROM audit.events WHERE tenant = 'acme' ORDER BY kind, number",
    );
    expect(rows[0]).toEqual({
      team: "platform",
      decision: "allow",
      policies: ["all"],
      trace: "0af7651916cd43dd8448eb211c80319c",
      reason: null,
    });
    expect(rows[3]).toEqual({ team: null, decision: "deny", policies: ["p", "q"], trace: null, reason: third.reason });
  });
});

/** As the first version stored them. */
function columnsOf(event: CallEvent | RefusalEvent): (string | null)[] {
  const { outcome, principal, group, server } = facetsOf(event);
  return [event.tool?.replaceAll("\0", "\u{fffd}") ?? null, outcome, principal, group, server];
}

/** Not newCallId: it never goes back behind a time that it has seen. */
function idAt(timeMs: number): string {
  const time = timeMs.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}${newCallId(Date.now()).slice(13)}`;
}
