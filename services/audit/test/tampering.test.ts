import { type Bus, connectBus, createEventPublisher, endOfEvents } from "@tollgate/bus";
import type { auditV1, AuditEvent } from "@tollgate/contracts";
import { openLife } from "@tollgate/service";
import { callEvent, eventually, refusalEvent, testLog, useInfrastructure } from "@tollgate/testkit";
import fc from "fast-check";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { AuditService } from "../src/service.ts";
import { openEvidenceClient, verifyLines } from "./evidence-client.ts";
import { startRecorder } from "./record.ts";

/** Nothing is signed but when a test asks for evidence. */
const NEVER_MS = 3_600_000;
const SIGNED = 8;
const TAIL = 3;
const TABLES = ["events", "chains", "checkpoints", "cuts", "register", "signing_keys"];

const infra = useInfrastructure();
const life = openLife(testLog);
let admin: pg.Client;
let service: AuditService;
let audit: ReturnType<typeof openEvidenceClient>;

/**
 * Two tenants with calls and refusals: two segments of four, and a tail that is not signed. Beside them a chain of one
 * event under one checkpoint.
 */
beforeAll(async () => {
  const bus = await connectBus({
    url: infra.natsUrl,
    name: "test",
    prefix: infra.busPrefix,
    log: testLog,
    signal: life.signal,
  });
  life.onClose("bus", 5_000, () => bus.drain());
  admin = new pg.Client({ connectionString: infra.adminUrl });
  await admin.connect();
  life.onClose("client", 5_000, () => admin.end());
  service = await startRecorder(infra, NEVER_MS);
  life.onClose("service", 20_000, () => service.close());
  audit = openEvidenceClient(infra, service.grpcPort, life);

  await record(bus, [callEvent({ tenant: "single" })]);
  for (let at = 0; at < SIGNED; at += 4) {
    await record(bus, eventsOf(4));
    await audit.exportEvidence();
  }
  await record(bus, eventsOf(TAIL));
  for (const table of TABLES) await admin.query(`CREATE TABLE public.kept_${table} AS SELECT * FROM audit.${table}`);
});
afterAll(() => life.close());
afterEach(restore);

async function restore(): Promise<void> {
  for (const table of TABLES)
    await admin.query(`DELETE FROM audit.${table}; INSERT INTO audit.${table} SELECT * FROM public.kept_${table}`);
}

function eventsOf(count: number): AuditEvent[] {
  return ["acme", "globex"].flatMap((tenant) =>
    Array.from({ length: count }, () => [callEvent({ tenant }), refusalEvent({ tenant })]).flat(),
  );
}

async function record(bus: Bus, events: readonly AuditEvent[]): Promise<void> {
  const publisher = createEventPublisher(bus, { waitingMax: 20_000, timeoutMs: 10_000 });
  for (const event of events) await publisher.publish(event);
  await eventually(async () => {
    const { last } = await endOfEvents(bus);
    const { rows } = await admin.query<{ sequence: string }>("SELECT sequence FROM audit.position");
    expect(Number(rows[0]!.sequence)).toBe(last);
  });
}

/** What VerifyRecord finds after this was done to the tables. */
async function findingsAfter(sql: string, values: unknown[] = []): Promise<auditV1.Finding[]> {
  const { rowCount } = await admin.query(sql, values);
  expect(rowCount, sql).toBeGreaterThan(0);
  const { findings, last } = await audit.verify();
  expect(last.done).toBe(true);
  return findings;
}

/** From this call's on to the end of its chain. */
async function makeHashesAnew({ tenant, number }: Row): Promise<void> {
  await admin.query(
    `DO $$ DECLARE r record; link bytea; BEGIN
       SELECT hash INTO link FROM audit.events WHERE tenant = '${tenant}' AND kind = 'call' AND number = ${number} - 1;
       FOR r IN SELECT * FROM audit.events WHERE tenant = '${tenant}' AND kind = 'call' AND number >= ${number} ORDER BY number LOOP
         link := sha256('\\x02'::bytea || link || sha256('\\x00'::bytea || convert_to(r.event, 'UTF8')));
         UPDATE audit.events SET hash = link WHERE id = r.id;
       END LOOP;
       UPDATE audit.chains SET hash = link WHERE tenant = '${tenant}' AND kind = 'call';
     END $$`,
  );
}

interface Row {
  tenant: string;
  kind: string;
  number: string;
  id: string;
}

/** Of one of the two tenants that are alike. */
async function eachEvent(): Promise<Row[]> {
  const { rows } = await admin.query<Row>(
    "SELECT tenant, kind, number, id FROM public.kept_events WHERE tenant <> 'globex' ORDER BY tenant, kind, number",
  );
  return rows;
}

const named = ({ tenant, kind, number, id }: Row, what: string) => ({
  tenant,
  kind,
  number: BigInt(number),
  ...(what === "removed" ? {} : { eventId: id }),
  what,
});

describe("the tables", () => {
  it("are proven as they were recorded", async () => {
    const { findings, last } = await audit.verify();
    expect(findings).toEqual([]);
    expect(last).toMatchObject({ chainsVerified: 5, eventsVerified: BigInt(4 * (SIGNED + TAIL) + 1) });
    expect((await audit.verify({ tenant: "acme", kind: "call" })).last).toMatchObject({ chainsVerified: 1 });
  });

  it("name each event that was changed, once", async () => {
    for (const row of await eachEvent()) {
      const sql = `UPDATE audit.events SET event = replace(event, '"v":1', '"v":1,"x":1') WHERE id = $1`;
      expect(await findingsAfter(sql, [row.id])).toMatchObject([named(row, "changed")]);
      await restore();
    }
  });

  it("name each event of which a column or the hash was changed", async () => {
    const changes = [
      "hash = sha256('x')",
      "principal = 'user:other'",
      "outcome = 'x'",
      "policies = '{none}'",
      "reason = 'x'",
    ];
    for (const [at, row] of (await eachEvent()).entries()) {
      const sql = `UPDATE audit.events SET ${changes[at % changes.length]} WHERE id = $1`;
      expect(await findingsAfter(sql, [row.id]), sql).toMatchObject([named(row, "changed")]);
      await restore();
    }
  });

  it("name each event that was deleted, the last ones as well", async () => {
    for (const row of await eachEvent()) {
      const findings = await findingsAfter("DELETE FROM audit.events WHERE id = $1", [row.id]);
      expect(findings).toMatchObject([named(row, "removed")]);
      await restore();
    }
  });

  it("name each event that was put in, whatever number it is given", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...(await eachEvent())),
        fc.integer({ min: -1, max: 20 }),
        async (row, number) => {
          await restore();
          const id = "01a1fe40-c3ae-7001-8c36-00f05293aef4";
          const findings = await findingsAfter(
            `INSERT INTO audit.events
           SELECT (jsonb_populate_record(e, jsonb_build_object('id', $2::text, 'number', $3::int, 'event', replace(event, id::text, $2::text)))).*
           FROM audit.events AS e WHERE id = $1`,
            [row.id, id, number],
          );
          expect(findings).toContainEqual(
            expect.objectContaining({
              tenant: row.tenant,
              kind: row.kind,
              number: BigInt(Math.max(0, number)),
              eventId: id,
            }),
          );
        },
      ),
      { numRuns: 40 },
    );
  });

  it("name two events that have changed places", async () => {
    const rows = await eachEvent();
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...rows), fc.constantFrom(...rows), fc.boolean(), async (a, b, withHash) => {
        fc.pre(a.id !== b.id && a.tenant === b.tenant && a.kind === b.kind);
        await restore();
        const findings = await findingsAfter(
          `UPDATE audit.events AS e SET number = o.number ${withHash ? ", hash = o.hash" : ""} FROM public.kept_events AS o
           WHERE e.id IN ($1, $2) AND o.id IN ($1, $2) AND o.id <> e.id`,
          [a.id, b.id],
        );
        const numbers = findings.map(({ number }) => number);
        expect(numbers).toEqual(expect.arrayContaining([BigInt(a.number)]));
        expect(numbers).toEqual(expect.arrayContaining([BigInt(b.number)]));
        expect(findings.length).toBeLessThanOrEqual(6);
      }),
      { numRuns: 40 },
    );
  });

  it("name an event that was moved to another tenant, or kind", async () => {
    for (const row of await eachEvent()) {
      const findings = await findingsAfter("UPDATE audit.events SET tenant = 'initech' WHERE id = $1", [row.id]);
      expect(findings).toContainEqual(expect.objectContaining(named(row, "removed")));
      expect(findings).toContainEqual(expect.objectContaining({ tenant: "initech", number: BigInt(row.number) }));
      await restore();
    }
  });

  it("name a chain that is gone as a whole, wherever it was", async () => {
    const chains = (await eachEvent()).filter(({ number }) => number === "1");
    for (const { tenant, kind } of chains) {
      const where = `WHERE tenant = '${tenant}' AND kind = '${kind}'`;
      const all = ["events", "checkpoints", "chains"].map((table) => `DELETE FROM audit.${table} ${where}`);
      for (const sql of all) await admin.query(sql);
      const { findings } = await audit.verify();
      expect(findings).toMatchObject([{ tenant, kind, what: "removed" }]);
      await restore();
      for (const sql of all) {
        const some = await findingsAfter(sql);
        expect(some, sql).toContainEqual(expect.objectContaining({ tenant, kind, what: "removed" }));
        await restore();
      }
    }
  });

  it("name each checkpoint that was deleted or changed, the last one as well", async () => {
    const { rows } = await admin.query<Row & { from_number: string }>(
      "SELECT * FROM public.kept_checkpoints WHERE tenant <> 'globex'",
    );
    expect(rows.length).toBe(5);
    for (const { tenant, kind, from_number: from } of rows) {
      const where = `WHERE tenant = '${tenant}' AND kind = '${kind}' AND from_number = ${from}`;
      const changes = [
        `DELETE FROM audit.checkpoints ${where}`,
        ...["root", "hash", "previous", "at", "from", "to", "tenant", "signature", "keyId"].map(
          (field) =>
            `UPDATE audit.checkpoints SET checkpoint = regexp_replace(checkpoint, '("${field}":)("?)[^,}"]*', '\\1\\27') ${where}`,
        ),
        `UPDATE audit.checkpoints SET leaves = sha256('x') ${where}`,
        `UPDATE audit.checkpoints SET number = number + 1 ${where}`,
        `UPDATE audit.checkpoints SET first_time = '2015-01-01' ${where}`,
        `UPDATE audit.checkpoints SET last_time = last_time + interval '1 ms' ${where}`,
        `UPDATE audit.checkpoints SET tenant = 'initech' ${where}`,
      ];
      for (const sql of changes) {
        const findings = await findingsAfter(sql);
        expect(findings.length, sql).toBeGreaterThan(0);
        expect(findings, sql).toContainEqual(expect.objectContaining({ tenant, kind }));
        await restore();
      }
    }
  });

  it("name a chain whose end was changed, or whose beginning, without a signed cut", async () => {
    for (const change of ["number = number - 1", "number = number + 1", "hash = sha256('x')", "first_number = 5"]) {
      const findings = await findingsAfter(`UPDATE audit.chains SET ${change} WHERE tenant = 'acme' AND kind = 'call'`);
      expect(findings.length, change).toBeGreaterThan(0);
      for (const finding of findings) expect(finding).toMatchObject({ tenant: "acme", kind: "call" });
      await restore();
    }
    // As if retention had let go of the first segment.
    await admin.query("DELETE FROM audit.events WHERE tenant = 'acme' AND kind = 'call' AND number <= 4");
    const findings = await findingsAfter(
      "UPDATE audit.chains SET first_number = 5 WHERE tenant = 'acme' AND kind = 'call'",
    );
    expect(findings).toContainEqual(expect.objectContaining({ what: "removed", number: 1n }));
  });

  it("name an event although all hashes behind it were made anew", async () => {
    const row = (await eachEvent()).find(({ number, kind }) => number === "6" && kind === "call")!;
    await admin.query(`UPDATE audit.events SET event = replace(event, '"v":1', '"v":1,"x":1') WHERE id = $1`, [row.id]);
    await makeHashesAnew(row);
    const { findings } = await audit.verify();
    expect(findings[0]).toMatchObject(named(row, "changed"));
    // Where what was signed ends, the tail shows it once more; the hashes between are not those that were signed.
    expect(findings.every(({ tenant, kind }) => tenant === row.tenant && kind === "call")).toBe(true);
  });

  it("name the register and the keys when they are gone or forged", async () => {
    expect(await findingsAfter("DELETE FROM audit.register")).toMatchObject([{ what: "removed" }]);
    await restore();
    const forged = await findingsAfter(
      "UPDATE audit.register SET register = replace(register, '\"at\":1', '\"at\":2')",
    );
    expect(forged).toMatchObject([{ what: "signature" }]);
    await restore();
    const key = await findingsAfter("UPDATE audit.signing_keys SET record = replace(record, '\"at\":1', '\"at\":2')");
    expect(key).toContainEqual(expect.objectContaining({ what: "signature" }));
  });

  it("are not signed any further once they were changed; what was signed is given as evidence all the same", async () => {
    const row = (await eachEvent()).findLast(({ tenant, kind }) => tenant === "acme" && kind === "call")!;
    await admin.query(`UPDATE audit.events SET event = replace(event, '"v":1', '"v":1,"x":1') WHERE id = $1`, [row.id]);
    const { findings, report } = await verifyLines(await audit.exportEvidence());
    expect(findings).toEqual([]);
    expect(report).toMatchObject({ chains: 5, events: 4 * (SIGNED + TAIL) + 1 - TAIL });
    expect(await signedOf("acme")).toBe(SIGNED);
    expect(await signedOf("globex")).toBe(SIGNED + TAIL);
  });
});

/** How far the calls of a tenant are signed. */
async function signedOf(tenant: string): Promise<number> {
  const chain = (await audit.chains(tenant)).find(({ kind }) => kind === "call");
  return Number(chain!.checkpointNumber);
}

describe("a row that cannot be read", () => {
  it("is a finding, and keeps neither other chains from being signed nor evidence from being given", async () => {
    for (const text of ["no JSON", "{}", "null"]) {
      const where = "tenant = 'acme' AND kind = 'call'";
      await admin.query(`UPDATE audit.checkpoints SET checkpoint = '${text}' WHERE ${where} AND from_number = 4`);
      await admin.query(`INSERT INTO audit.cuts (tenant, kind, number, cut) VALUES ('acme', 'refusal', 4, '${text}')`);
      await restart(NEVER_MS);
      const { findings } = await audit.verify();
      expect(findings, text).toContainEqual(expect.objectContaining({ kind: "call", number: 8n, what: "checkpoint" }));
      expect(findings, text).toContainEqual(expect.objectContaining({ kind: "refusal", what: "signature" }));
      expect(findings.every(({ tenant }) => tenant === "acme")).toBe(true);

      const { findings: shown, report } = await verifyLines(await audit.exportEvidence());
      expect(shown, text).toEqual([]);
      // With that of the alerts, where one was recorded.
      expect(report.chains).toBeGreaterThanOrEqual(5);
      expect((await audit.chains("globex"))[0]!.checkpointNumber).toBe(BigInt(SIGNED + TAIL));
      await restore();
    }
  });

  it("may be a key's: nothing is trusted then, and verification says so", async () => {
    for (const text of ["no JSON", "{}", "null"]) {
      const findings = await findingsAfter(`UPDATE audit.signing_keys SET record = '${text}'`);
      expect(findings, text).toContainEqual(
        expect.objectContaining({ tenant: "", what: "signature", detail: expect.stringContaining("key") }),
      );
      await audit.exportEvidence();
      expect(await signedOf("acme")).toBe(SIGNED);
      await restore();
    }
  });
});

/** Another process: it remembers nothing. */
async function restart(checkpointMs: number): Promise<void> {
  await service.close();
  service = await startRecorder(infra, checkpointMs);
  audit = openEvidenceClient(infra, service.grpcPort, life);
}

describe("what was signed and is gone from the database", () => {
  /** With nothing but the database: an event, all hashes behind it, and no checkpoint that says otherwise. */
  async function forge(): Promise<void> {
    const row = (await eachEvent()).find(({ number, kind }) => number === "6" && kind === "call")!;
    await admin.query(`UPDATE audit.events SET event = replace(event, '"v":1', '"v":1,"x":1') WHERE id = $1`, [row.id]);
    await makeHashesAnew(row);
    await admin.query("DELETE FROM audit.checkpoints WHERE tenant = 'acme' AND kind = 'call' AND from_number >= 4");
  }

  it("is remembered by who has signed it, although the register is an old one again", async () => {
    await restart(NEVER_MS);
    await audit.exportEvidence();
    await forge();
    await admin.query("UPDATE audit.register SET register = (SELECT register FROM public.kept_register)");
    await admin.query("DELETE FROM audit.checkpoints WHERE tenant = 'globex' AND kind = 'call' AND from_number >= 8");
    await audit.exportEvidence();
    expect(await signedOf("acme")).toBe(4);
    expect(await signedOf("globex")).toBe(SIGNED);
  });

  it("is not signed another way, stays in the register, and is one alert", async () => {
    await forge();
    await restart(100);
    const alerts = async (): Promise<string[]> => {
      const { rows } = await admin.query<{ reason: string }>(
        "SELECT reason FROM audit.events WHERE kind = 'alert' AND outcome = 'broken_chain' ORDER BY number",
      );
      // Tests before this one have left some that say something else.
      return rows.map(({ reason }) => reason).filter((reason) => reason.includes("up to 8,"));
    };
    await eventually(async () => expect(await alerts()).not.toEqual([]));
    // Meanwhile the others are signed, and the alert is as well: more than one turn was taken.
    await eventually(async () => expect((await audit.chains("tollgate"))[0]!.checkpointNumber).toBeGreaterThan(0n));
    expect(await alerts()).toEqual([
      expect.stringContaining("acme/call is not signed any further: the checkpoint up to 8"),
    ]);
    expect(await signedOf("globex")).toBe(SIGNED + TAIL);
    expect(await signedOf("acme")).toBe(4);
    await audit.exportEvidence();
    expect(await signedOf("acme")).toBe(4);
    expect((await audit.verify({ tenant: "acme", kind: "call" })).findings).toContainEqual(
      expect.objectContaining({ what: "removed", number: 8n }),
    );
  });

  it("is missed as a whole register as well: nothing is signed without one", async () => {
    await admin.query("DELETE FROM audit.register");
    await audit.exportEvidence();
    expect(await signedOf("acme")).toBe(SIGNED);
    const { rows } = await admin.query("SELECT 1 FROM audit.register");
    expect(rows).toEqual([]);
  });
});
