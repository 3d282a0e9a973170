import { type Bus, connectBus, createEventPublisher } from "@tollgate/bus";
import { newCallId, timeOfId } from "@tollgate/contracts";
import { openLife } from "@tollgate/service";
import { callEvent, refusalEvent, eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AuditService, startAudit } from "../src/service.ts";
import { configSchema } from "../src/config.ts";
import { openAuditClient } from "./audit-client.ts";

const infra = useInfrastructure();
const life = openLife(testLog);
let bus: Bus;
let service: AuditService;
let audit: ReturnType<typeof openAuditClient>;

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
  service = await startAudit(config, testLog);
  life.onClose("audit", 20_000, () => service.close());
  bus = await connectBus({
    url: infra.natsUrl,
    name: "test",
    prefix: infra.busPrefix,
    log: testLog,
    signal: life.signal,
  });
  life.onClose("bus", 5_000, () => bus.drain());
  audit = openAuditClient({ port: service.grpcPort, serviceKey: infra.serviceKey, life });
});
afterAll(() => life.close());

/** Lines as they are, past the publisher that would only write well-formed ones. */
async function publishLines(tenant: string, lines: readonly string[]): Promise<void> {
  await bus.js.publish(bus.subjects.audit(tenant, "call"), lines.join("\n"));
}

/** What was put aside, oldest first. */
async function deadLines(): Promise<string[]> {
  const { state } = await bus.jsm.streams.info(bus.subjects.streams.dead);
  const lines: string[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const message = await bus.jsm.streams.getMessage(bus.subjects.streams.dead, { seq });
    if (message) lines.push(message.json<{ data: string }>().data);
  }
  return lines;
}

describe("recording", () => {
  it("stores each event as it is on the stream, to the byte", async () => {
    const publisher = createEventPublisher(bus, { waitingMax: 100, timeoutMs: 5_000 });
    const call = { ...callEvent({ tenant: "bytes" }), later: { field: [1, "ä\u{1f600}", "\\u0000"] } };
    await publisher.publish(call);
    await publisher.publish(refusalEvent({ tenant: "bytes", tool: "nul\0tool" }));
    const spaced = `{ "note":"kept \\u00e4 \\u0000 \\"as it is\\"",  ${JSON.stringify(callEvent({ tenant: "bytes" })).slice(1)}`;
    await publishLines("bytes", [spaced]);

    const events = await eventually(async () => {
      const page = await audit.list({ tenant: "bytes" });
      expect(page.events).toHaveLength(3);
      return page.events;
    });
    expect(events).toContain(JSON.stringify(call));
    expect(events).toContain(spaced);
    expect((await audit.list({ tenant: "bytes", tool: "nul\0tool" })).events).toHaveLength(1);
  });

  it("stores an outcome once, however often it is repeated, and keeps the one that came first", async () => {
    const event = callEvent({ tenant: "twice" });
    const unknown = { ...event, outcome: "unknown" as const };
    await publishLines("twice", [JSON.stringify(event), JSON.stringify(unknown), JSON.stringify(event)]);
    await publishLines("twice", [JSON.stringify(unknown)]);
    await publishLines("twice", [JSON.stringify(callEvent({ tenant: "twice" }))]);

    await eventually(async () => {
      const page = await audit.list({ tenant: "twice" });
      expect(page.events).toHaveLength(2);
      expect(page.events).toContain(JSON.stringify(event));
    });
    const metrics = await (await fetch(`http://127.0.0.1:${service.httpPort}/metrics`)).text();
    expect(metrics).toMatch(/^tollgate_audit_events_duplicate_total 3$/m);
  });

  it("puts a line that is no event aside and stores the others of its message", async () => {
    const good = [callEvent({ tenant: "poison" }), callEvent({ tenant: "poison" })].map((event) =>
      JSON.stringify(event),
    );
    const bad = ['{"v":1,"kind":"call","id":"none"}', '{"v":1,"kind":"call","id":"nope"}', "{not json"];
    await publishLines("poison", [bad[0]!, good[0]!, bad[1]!, bad[2]!, good[1]!]);

    await eventually(async () =>
      expect((await audit.list({ tenant: "poison" })).events.toSorted()).toEqual(good.toSorted()),
    );
    await eventually(async () => expect(await deadLines()).toEqual(bad));
  });

  it("finds a place for events of any month: both sides of a boundary, years ago, years ahead", async () => {
    const boundary = Date.UTC(2026, 11, 1);
    const times = [boundary - 1, boundary, Date.UTC(2019, 1, 28), Date.UTC(2031, 6, 1), 0, 2 ** 48 - 1];
    // Not newCallId: it never goes back behind a time that it has seen.
    const ids = times.map((timeMs) => idAt(timeMs));
    await publishLines(
      "months",
      ids.map((id) => JSON.stringify(callEvent({ tenant: "months", id, endedAt: timeOfId(id) }))),
    );

    await eventually(async () => expect((await audit.list({ tenant: "months" })).events).toHaveLength(times.length));
    const page = await audit.list({ tenant: "months", fromMs: BigInt(boundary), toMs: BigInt(boundary + 1) });
    expect(page.events.map((event) => JSON.parse(event).id)).toEqual([ids[1]]);
  });
});

function idAt(timeMs: number): string {
  const time = timeMs.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}${newCallId(Date.now()).slice(13)}`;
}

describe("operation", () => {
  it("is ready, and says what it has done", async () => {
    const ready = await fetch(`http://127.0.0.1:${service.httpPort}/readyz`);
    expect(await ready.json()).toEqual({ status: "ready" });
    const metrics = await (await fetch(`http://127.0.0.1:${service.httpPort}/metrics`)).text();
    expect(metrics).toMatch(/^tollgate_audit_events_stored_total \d+$/m);
    expect(metrics).toMatch(/^tollgate_audit_lag_messages \d+$/m);
  });

  it("answers nobody who does not know the service key", async () => {
    const stranger = openAuditClient({ port: service.grpcPort, serviceKey: "not-the-service-key", life });
    await expect(stranger.list({})).rejects.toThrow("service key");
  });
});
