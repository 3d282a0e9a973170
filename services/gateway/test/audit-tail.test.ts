import { createEventPublisher, type EventPublisher } from "@tollgate/bus";
import { type AccessEvent, type AuditEvent, auditV1, parseAuditEvent } from "@tollgate/contracts";
import { callEvent, eventually, refusalEvent } from "@tollgate/testkit";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { tailEvents } from "../src/handlers/audit-tail.ts";
import type { EventStream } from "../src/handlers/event-stream.ts";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { cutStreamsAfterEach, type EventReader, readEvents } from "./mcp-connections.ts";

const installation = useInstallation();
cutStreamsAfterEach();

let events: EventPublisher;
const publish = (...some: AuditEvent[]) => Promise.all(some.map((event) => events.publish(event)));
const idsIn = ({ messages }: EventReader) => messages.map(({ id }) => id as string);

beforeAll(() => {
  events = createEventPublisher(installation.runner.bus, { waitingMax: 1_000, timeoutMs: 5_000 });
  const { tokens } = installation.around.policy;
  tokens.set("admin", principal({ id: "admin", permissions: ["admin"] }));
  tokens.set("auditor", principal({ id: "auditor", permissions: [] }));
  tokens.set("rival-auditor", principal({ id: "rival-auditor", tenant: "rival", permissions: [] }));
});
beforeEach(async () => {
  const { policy } = installation.around;
  // A policy lets auditors read the record.
  policy.administers = ({ principal: who }) => who!.permissions.includes("admin") || who!.id.endsWith("auditor");
  await policy.changeTaken();
});

async function tail(query = "", options: { token?: string; after?: string } = {}): Promise<EventReader> {
  const { token = "admin", after } = options;
  return readEvents(installation.url(`/api/v1/audit/tail${query}`), {
    token,
    ...(after === undefined ? {} : { headers: { "last-event-id": after } }),
  });
}

async function openTail(query = "", options: { token?: string } = {}) {
  const reader = await tail(query, options);
  expect(reader.status).toBe(200);
  return reader;
}

describe("a tail", () => {
  test("shows what comes, as it is on the stream, and nothing of before", async () => {
    await publish(callEvent({ tenant: "acme" }));
    const reader = await openTail("?kind=call");
    const made = [callEvent(), callEvent({ tenant: "other" }), callEvent({ outcome: "timeout", reason: "late" })];
    await eventually(async () => {
      await publish(callEvent({ tenant: "mark" }));
      expect(idsIn(reader).length).toBeGreaterThan(0);
    });
    for (const event of made) await publish(event);
    await eventually(() => expect(idsIn(reader)).toEqual(expect.arrayContaining(made.map(({ id }) => id))));
    expect(reader.messages.filter(({ tenant }) => tenant !== "mark")).toEqual(made);
  });

  test("shows what its filters let through", async () => {
    const since = Date.now() - 1_000;
    const trace = "ab".repeat(16);
    const wanted = callEvent({
      tool: "special",
      team: "red",
      outcome: "timeout",
      principal: "user:alice",
      traceparent: `00-${trace}-00f067aa0ba902b7-01`,
      decision: { allow: true, policies: ["one", "two"], revision: 1, reason: "" },
    });
    const last = callEvent({ tool: "last", principal: "user:alice" });
    await publish(callEvent({ tool: "other" }), wanted, refusalEvent({ tool: "special" }), last);
    const queries = [
      "tool=special&kind=call",
      "team=red",
      "outcome=timeout&tool=special",
      "policy=two",
      `trace=${trace.toUpperCase()}`,
    ];
    for (const query of queries) {
      const reader = await openTail(`?${query}&since=${since}`);
      await eventually(() => expect(idsIn(reader)).toEqual([wanted.id]));
    }
    const reader = await openTail(`?user=alice&decision=allow&since=${since}`);
    await eventually(() => expect(idsIn(reader)).toContain(last.id));
    expect(idsIn(reader).toSorted()).toEqual([wanted.id, last.id].toSorted());
  });

  test("goes on after the last event that its client has seen, in the middle of a message too", async () => {
    const since = new Date(Date.now() - 1_000).toISOString();
    const made = Array.from({ length: 30 }, () => callEvent({ tenant: "resumed" }));
    // Those that are ready together share messages.
    await publish(...made);
    const whole = await openTail(`?tenant=resumed&since=${encodeURIComponent(since)}`);
    await eventually(() => expect(idsIn(whole)).toHaveLength(30));
    const order = idsIn(whole);
    expect(new Set(whole.ids.map((id) => id!.split(".")[0])).size).toBeLessThan(30);
    for (const at of [0, 7, 28]) {
      const resumed = await tail("?tenant=resumed", { after: whole.ids[at]! });
      await eventually(() => expect(idsIn(resumed)).toEqual(order.slice(at + 1)));
    }
  });

  test("says that something is missing when the stream does not know the place", async () => {
    const made = callEvent({ tenant: "gap" });
    await publish(made);
    const reader = await tail("?tenant=gap", { after: "999999999.0" });
    await eventually(() => expect(idsIn(reader)).toEqual([made.id]));
    expect(reader.events[0]).toMatchObject({ event: "gap", data: expect.stringContaining('"after":"999999999.0"') });
  });

  test.each(["garbage", "1", "1.x", "-1.0"])("cannot begin after %s", async (after) => {
    const reader = await tail("", { after });
    expect(reader.status).toBe(400);
  });

  const tooLate = ["?since=253402300800000", "?since=9999-12-31T23:59:59-01:00"];
  test.each(["?tools=echo", "?trace=abc", "?kind=nothing", "?user=a&agent=b", "?text=words", ...tooLate])(
    "is not opened for %s",
    async (query) => {
      expect((await tail(query)).status).toBe(400);
    },
  );

  test("of another tenant is refused, and without one is that of the own", async () => {
    expect((await tail("?tenant=acme", { token: "rival-auditor" })).status).toBe(403);
    expect((await tail("", { token: "token" })).status).toBe(403);
    const since = Date.now() - 1_000;
    const its = callEvent({ tenant: "rival" });
    await publish(callEvent(), its);
    const reader = await openTail(`?kind=call&since=${since}`, { token: "rival-auditor" });
    await eventually(() => expect(idsIn(reader)).toContain(its.id));
    expect(new Set(reader.messages.map(({ tenant }) => tenant as string))).toEqual(new Set(["rival"]));
  });

  test("ends, and shows nothing more, once its caller may not see it any more", async () => {
    const { policy } = installation.around;
    const since = Date.now() - 1_000;
    const seen = callEvent();
    await publish(seen);
    const reader = await openTail(`?tenant=acme&kind=call&since=${since}`, { token: "auditor" });
    await eventually(() => expect(idsIn(reader)).toContain(seen.id));
    policy.administers = () => false;
    await policy.changeTaken();
    const secret = callEvent({ tool: "after" });
    await publish(secret);
    await eventually(() => expect(reader.ended).toBe(true));
    expect(idsIn(reader)).not.toContain(secret.id);
  });

  test("ends once its token is of another tenant, or is no token any more", async () => {
    const { policy } = installation.around;
    for (const after of [principal({ id: "auditor", tenant: "rival", permissions: [] }), undefined]) {
      policy.tokens.set("moving", principal({ id: "auditor", permissions: [] }));
      await policy.changeTaken();
      const reader = await openTail("", { token: "moving" });
      if (after === undefined) policy.tokens.delete("moving");
      else policy.tokens.set("moving", after);
      await policy.changeTaken();
      await eventually(() => expect(reader.ended).toBe(true));
    }
  });

  test("ends with a word to a client that does not read, which may come back", async () => {
    const { runner } = installation;
    const sent: string[] = [];
    const comments: string[] = [];
    let closed = false;
    const stream: EventStream = {
      closed: false,
      send: (_frame, id) => void sent.push(id!),
      comment: (text) => void comments.push(text),
      drained: () => Promise.resolve(false),
      close: () => void (closed = true),
      begin: () => undefined,
      prime: () => undefined,
      event: () => undefined,
      onClose: () => undefined,
    };
    const made = Array.from({ length: 200 }, () => callEvent({ tenant: "slow" }));
    await publish(...made);
    const shown = await tailEvents({
      bus: runner.bus,
      filter: { ...auditV1.EventFilter.create(), tenant: "slow" },
      start: { sinceMs: Date.now() - 60_000 },
      stream,
      watch: { mayGoOn: () => Promise.resolve(true) },
      signal: new AbortController().signal,
    });
    expect([shown, closed, comments]).toEqual([sent.length, true, ["you read too slowly; come back with the last id"]]);
    expect(shown).toBeGreaterThan(0);
    expect(shown).toBeLessThan(200);
    const resumed = await tail("?tenant=slow", { after: sent.at(-1)! });
    await eventually(() => expect(idsIn(resumed)).toHaveLength(200 - shown));
  });

  test("is one of a bounded number", async () => {
    const readers = await Promise.all(Array.from({ length: 10 }, () => tail("", { token: "auditor" })));
    expect(readers.map(({ status }) => status)).toEqual(readers.map(() => 200));
    const one = await tail("", { token: "auditor" });
    expect([one.status, one.headers.get("retry-after")]).toEqual([429, "30"]);
    // Another tenant has its own.
    expect((await tail("", { token: "rival-auditor" })).status).toBe(200);
    readers[0]!.cut();
    await eventually(async () => expect((await tail("", { token: "auditor" })).status).toBe(200));
  });

  test("is on record before it shows anything, and in the end with how much it has shown", async () => {
    const since = Date.now() - 1_000;
    await publish(callEvent({ tool: "counted" }), callEvent({ tool: "counted" }));
    const reader = await openTail(`?tool=counted&since=${since}`, { token: "auditor" });
    await eventually(() => expect(idsIn(reader)).toHaveLength(2));
    reader.cut();
    const accesses = await tail(`?kind=access&since=${since}`);
    const its = () => accesses.messages.filter(({ query }: AccessEvent) => query["tool"] === "counted");
    await eventually(() => expect(its()).toHaveLength(2));
    expect(its().map(({ count }: AccessEvent) => count)).toEqual([0, 2]);
    expect(its()[0]).toMatchObject({ action: "tail", principal: "auditor", tenant: "acme", address: "127.0.0.1" });
    expect(parseAuditEvent(JSON.stringify(its()[0])).ok).toBe(true);
  });
});
