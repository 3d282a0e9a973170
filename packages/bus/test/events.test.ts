import { randomUUID } from "node:crypto";
import { type AuditEvent, newCallId, type RefusalEvent } from "@tollgate/contracts";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Bus } from "../src/connection.ts";
import { createEventPublisher, findOutcomes } from "../src/events.ts";
import { callEvent, useBus } from "./connected.ts";

const connect = useBus(useInfrastructure());
let bus: Bus;
beforeAll(async () => {
  bus = await connect();
});
beforeEach(() => bus.jsm.streams.purge(bus.subjects.streams.audit));

function publisher(waitingMax = 1_000): (event: AuditEvent) => Promise<void> {
  const events = createEventPublisher(bus, { waitingMax, timeoutMs: 5_000 });
  return (event) => events.publish(event);
}
const publishAll = (events: readonly AuditEvent[]) => {
  const publish = publisher();
  return Promise.all(events.map((event) => publish(event)));
};

function refusalEvent(tenant: string): RefusalEvent {
  const now = Date.now();
  return {
    v: 1,
    kind: "refusal",
    id: newCallId(now),
    tenant,
    endedAt: now,
    code: "denied",
    reason: "no policy allows it",
    method: "tools/call",
    count: 1,
  };
}

/** The stream's messages by subject, each with its lines. */
async function stored(): Promise<Map<string, string[][]>> {
  const { audit } = bus.subjects.streams;
  const { state } = await bus.jsm.streams.info(audit);
  const messages = new Map<string, string[][]>();
  for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
    const message = (await bus.jsm.streams.getMessage(audit, { seq }))!;
    messages.set(message.subject, [...(messages.get(message.subject) ?? []), message.string().split("\n")]);
  }
  return messages;
}

describe("publishing events", () => {
  it("puts those that are ready together into few messages, one line each, apart by tenant and kind", async () => {
    const events = Array.from({ length: 200 }, (_, at) => callEvent({ tenant: at % 2 === 0 ? "acme" : "globex" }));
    const refusals = Array.from({ length: 5 }, () => refusalEvent("acme"));
    await publishAll([...events, ...refusals]);
    const messages = await stored();
    expect([...messages.keys()].toSorted((a, b) => a.localeCompare(b))).toEqual([
      bus.subjects.audit("acme", "call"),
      bus.subjects.audit("acme", "refusal"),
      bus.subjects.audit("globex", "call"),
    ]);
    const ofAcme = messages.get(bus.subjects.audit("acme", "call"))!;
    expect(ofAcme.length).toBeLessThan(10);
    expect(ofAcme.flat().map((line) => JSON.parse(line))).toEqual(events.filter(({ tenant }) => tenant === "acme"));
    expect(messages.get(bus.subjects.audit("acme", "refusal"))!.flat()).toHaveLength(5);
  });

  it("keeps a repeated event: what is counted once is the reader's matter", async () => {
    const event = callEvent();
    const publish = publisher();
    await publish(event);
    await publish(event);
    expect((await stored()).get(bus.subjects.audit("acme", "call"))!.flat()).toHaveLength(2);
  });

  it("writes an event with line breaks in its texts as one line", async () => {
    const event = callEvent({ tool: "a\nb\r\nc\u2028d" });
    await publisher()(event);
    const lines = (await stored()).get(bus.subjects.audit("acme", "call"))!.flat();
    expect(lines.map((line) => JSON.parse(line))).toEqual([event]);
  });

  it("refuses at once what is more than may wait", async () => {
    const publish = publisher(5);
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => publish(callEvent())));
    const refused = outcomes.filter((each) => each.status === "rejected");
    expect(refused).toHaveLength(3);
    for (const { reason } of refused) expect(reason).toMatchObject({ code: "overloaded" });
  });

  it("refuses a tenant that would be more than one token of a subject", () => {
    expect(() => publisher()(callEvent({ tenant: "acme.call.>" }))).toThrow("cannot be part of a subject");
  });
});

describe("finding outcomes", () => {
  it("finds those that are on the stream, and no other", async () => {
    const present = Array.from({ length: 30 }, () => callEvent());
    await publishAll([...Array.from({ length: 300 }, () => callEvent()), ...present]);
    const absent = newCallId(Date.now());
    const asked = new Set([...present.map(({ id }) => id), absent]);
    expect(await findOutcomes(bus, "acme", asked)).toEqual(new Set(present.map(({ id }) => id)));
  });

  it("finds them among more events than are fetched at once", async () => {
    const [first, last] = [callEvent(), callEvent()];
    const lines = Array.from({ length: 2_500 }, () => JSON.stringify(callEvent()));
    await bus.js.publish(bus.subjects.audit("acme", "call"), JSON.stringify(first), { msgID: randomUUID() });
    // One message each: it is messages that are fetched.
    for (let at = 0; at < lines.length; at += 100) {
      const some = lines.slice(at, at + 100);
      await Promise.all(some.map((line) => bus.js.publish(bus.subjects.audit("acme", "call"), line)));
    }
    await bus.js.publish(bus.subjects.audit("acme", "call"), JSON.stringify(last), { msgID: randomUUID() });
    const asked = new Set([first.id, last.id, newCallId(Date.now())]);
    expect(await findOutcomes(bus, "acme", asked)).toEqual(new Set([first.id, last.id]));
  });

  it("never takes another tenant's, or a refusal's, for a call's", async () => {
    const other = callEvent({ tenant: "globex" });
    const refusal = refusalEvent("acme");
    await publishAll([other, refusal]);
    expect(await findOutcomes(bus, "acme", new Set([other.id, refusal.id]))).toEqual(new Set());
  });

  it("finds an outcome although the clock of the stream is behind that of the gateway", async () => {
    const event = callEvent({ id: newCallId(Date.now() + 5_000) });
    await publishAll([event]);
    expect(await findOutcomes(bus, "acme", new Set([event.id]))).toEqual(new Set([event.id]));
  });

  it("reads over lines that are no events", async () => {
    const event = callEvent();
    const text = ["not json", JSON.stringify(event), "null"].join("\n");
    await bus.js.publish(bus.subjects.audit("acme", "call"), text);
    expect(await findOutcomes(bus, "acme", new Set([event.id]))).toEqual(new Set([event.id]));
  });

  it("of no calls is nothing, and of an empty stream too", async () => {
    expect(await findOutcomes(bus, "acme", new Set())).toEqual(new Set());
    expect(await findOutcomes(bus, "acme", new Set([newCallId(Date.now())]))).toEqual(new Set());
  });

  it("leaves nothing behind on the server, however often it is done", async () => {
    const event = callEvent();
    await publishAll([event]);
    for (let round = 0; round < 5; round++) await findOutcomes(bus, "acme", new Set([event.id]));
    await eventually(async () => {
      const { state } = await bus.jsm.streams.info(bus.subjects.streams.audit);
      expect(state.consumer_count).toBe(0);
    });
  });
});
