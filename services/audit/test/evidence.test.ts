import { type Bus, connectBus, createEventPublisher, endOfEvents } from "@tollgate/bus";
import type { AuditEvent } from "@tollgate/contracts";
import { checkInclusion } from "@tollgate/evidence";
import { openLife } from "@tollgate/service";
import { callEvent, eventually, refusalEvent, testLog, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AuditService } from "../src/service.ts";
import { openEvidenceClient, verifyLines } from "./evidence-client.ts";
import { startRecorder } from "./record.ts";

const infra = useInfrastructure();
const life = openLife(testLog);
let bus: Bus;
let admin: pg.Client;
let service: AuditService;
let audit: ReturnType<typeof openEvidenceClient>;

beforeAll(async () => {
  bus = await connectBus({
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
  service = await startRecorder(infra);
  life.onClose("service", 20_000, () => service.close());
  audit = openEvidenceClient(infra, service.grpcPort, life);
});
afterAll(() => life.close());

async function record(events: readonly AuditEvent[]): Promise<void> {
  const publisher = createEventPublisher(bus, { waitingMax: 20_000, timeoutMs: 10_000 });
  await Promise.all(events.map((event) => publisher.publish(event)));
  await eventually(async () => {
    const { last } = await endOfEvents(bus);
    const { rows } = await admin.query<{ sequence: string }>("SELECT sequence FROM audit.position");
    expect(Number(rows[0]!.sequence)).toBeGreaterThanOrEqual(last);
  });
}

const sampleEvents = (tenant: string, count: number): AuditEvent[] =>
  Array.from({ length: count }, (_, at) => (at % 5 === 0 ? refusalEvent({ tenant }) : callEvent({ tenant })));

describe("evidence", () => {
  it("of all that was recorded proves itself, to the last event, with no service", async () => {
    const events = sampleEvents("whole", 6_000);
    await record(events);
    const lines = await audit.exportEvidence({ tenant: "whole" });
    const { findings, report } = await verifyLines(lines);
    expect(findings).toEqual([]);
    expect(report).toMatchObject({ chains: 2, events: 6_000 });
    const given = lines.map((line) => JSON.parse(line) as { type: string; line: string });
    const ids = given.filter(({ type }) => type === "event").map(({ line }) => (JSON.parse(line) as AuditEvent).id);
    expect(new Set(ids)).toEqual(new Set(events.map(({ id }) => id)));

    for (const { publicKey } of await audit.keys()) expect((await verifyLines(lines, publicKey)).findings).toEqual([]);
    // The call's chain is longer than one segment can be.
    expect(report.checkpoints).toBeGreaterThanOrEqual(3);
  });

  it("holds the segments of a time, and proves that they are the chain's", async () => {
    const DAY_MS = 86_400_000;
    const nowMs = Date.now();
    const at = (days: number): AuditEvent => {
      const endedAt = nowMs - days * DAY_MS;
      const time = endedAt.toString(16).padStart(12, "0");
      return callEvent({
        tenant: "times",
        id: `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-000000000001`,
        acceptedAt: endedAt,
        endedAt,
      });
    };
    const days = [3, 2, 1].map(at);
    for (const event of days) {
      await record([event]);
      await audit.exportEvidence({ tenant: "times" });
    }
    const lines = await audit.exportEvidence({
      tenant: "times",
      fromMs: BigInt(nowMs - 2.5 * DAY_MS),
      toMs: BigInt(nowMs - 1.5 * DAY_MS),
    });
    expect((await verifyLines(lines)).findings).toEqual([]);
    expect(lines.join("\n")).toContain(days[1]!.id);
    expect(lines.join("\n")).not.toContain(days[0]!.id);
    expect(lines.join("\n")).not.toContain(days[2]!.id);
  });

  it("proves one event alone once it is covered", async () => {
    const events = sampleEvents("single", 20);
    await record(events);
    await eventually(
      async () => {
        for (const { id } of events) {
          const { event, proof } = await audit.getEvent(id);
          expect(JSON.parse(event)).toMatchObject({ id });
          expect(proof).not.toBe("");
          expect(checkInclusion(event, JSON.parse(proof)).ok).toBe(true);
          expect(checkInclusion(event.replace(id, events[0]!.id), JSON.parse(proof)).ok).toBe(id === events[0]!.id);
        }
      },
      { timeoutMs: 60_000 },
    );
    await expect(audit.getEvent(events[0]!.id, "other")).rejects.toMatchObject({ code: "not_found" });
    await expect(audit.getEvent("nonsense")).rejects.toMatchObject({ code: "not_found" });
  });

  it("is signed by a new key after a rotation, which the old one vouches for", async () => {
    const [old] = (await audit.keys()).slice(-1);
    await record(sampleEvents("rotated", 10));
    await audit.exportEvidence({ tenant: "rotated" });
    const rotated = await audit.rotate("user:operator");
    await record(sampleEvents("rotated", 10));
    const lines = await audit.exportEvidence({ tenant: "rotated" });

    for (const pin of [old!.publicKey, rotated.publicKey]) {
      const { findings, report } = await verifyLines(lines, pin);
      expect(findings).toEqual([]);
      expect(report.header.keyId).toBe(rotated.id);
    }
    const { rows } = await admin.query("SELECT id FROM audit.signing_keys WHERE sealed IS NOT NULL");
    expect(rows).toEqual([{ id: rotated.id }]);
    expect(await audit.keys()).toMatchObject([{ id: old!.id, retiredAtMs: rotated.createdAtMs }, { retiredAtMs: 0n }]);
    await eventually(async () => {
      const { rows: changes } = await admin.query<{ event: string }>(
        "SELECT event FROM audit.events WHERE kind = 'change'",
      );
      expect(changes.map(({ event }) => JSON.parse(event) as unknown)).toContainEqual(
        expect.objectContaining({
          resource: "signing_key",
          change: "rotated",
          name: rotated.id,
          principal: "user:operator",
        }),
      );
    });
  });

  it("lists chains with how far they are signed", async () => {
    await record(sampleEvents("listed", 10));
    await audit.exportEvidence({ tenant: "listed" });
    expect(await audit.chains("listed")).toMatchObject([
      { tenant: "listed", kind: "call", firstNumber: 1n, lastNumber: 8n, checkpointNumber: 8n },
      { tenant: "listed", kind: "refusal", lastNumber: 2n, checkpointNumber: 2n },
    ]);
  });

  it("does not come from a service with another secret", async () => {
    const other = { ...infra, signingSecret: "x".repeat(40) };
    await expect(startRecorder(other)).rejects.toMatchObject({ code: "failed_precondition" });
  });
});
