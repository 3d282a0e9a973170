import type { AuditEvent } from "@tollgate/contracts";
import { callEvent, refusalEvent } from "@tollgate/testkit";
import { describe as group, expect, it, test } from "vitest";
import { parseCef, parseSyslog, readFrames } from "../../test/siem-parsers.ts";
import { toCef } from "./cef.ts";
import { describe, severityOf } from "./exported.ts";
import { isWanted, partsOf } from "./exports.ts";
import { toOtlpLogs } from "./otlp.ts";
import { framed, inSyslog, toSyslog } from "./syslog.ts";

const AT = Date.UTC(2026, 10, 21, 12, 30, 15, 7);
const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const of = (event: AuditEvent) => ({ event, line: JSON.stringify(event) });
const base = { v: 1, id: "019a9e1c-5a40-7000-8f2b-3c1d5e7f9a0b", tenant: "acme", endedAt: AT } as const;

/** What is in nobody's interest: every character that one of the formats gives a meaning. */
const NASTY = 'a|b\\c=d "e" ]f\ng\rh <i> cs1=x é\u{1f600}\u2028\0';
const nasty = refusalEvent({
  ...base,
  principal: NASTY,
  tool: NASTY,
  reason: NASTY,
  server: "all=1",
  address: "10.0.0.7",
});

const call = callEvent({ ...base, traceparent: TRACE, address: "2001:db8::7", acceptedAt: AT - 3 });

/** One of each kind. */
const KINDS: readonly AuditEvent[] = [
  call,
  nasty,
  {
    ...base,
    kind: "approval",
    change: "denied",
    approval: "a1",
    principal: "user:a",
    group: "g",
    server: "s",
    tool: "t",
    risk: "HIGH",
    reason: "no",
  },
  { ...base, kind: "alert", code: "authentication", reason: "it keeps failing" },
  {
    ...base,
    kind: "change",
    change: "updated",
    resource: "policy",
    name: "p|1",
    principal: "file",
    before: 1,
    after: 2,
  },
  { ...base, kind: "secret", secret: "DB_PASSWORD", purpose: "server_start", principal: "runner:r" },
  { ...base, kind: "server", state: "crash_loop", group: "g", server: "s", runner: "r" },
  { ...base, kind: "access", action: "export", principal: "user:a", query: {}, count: 3 },
  {
    ...base,
    kind: "budget",
    budget: "b",
    key: "acme/payments",
    threshold: 80,
    spent: "8",
    amount: "10",
    currency: "EUR",
    periodFrom: 1,
    reason: "r",
  },
];

const FORM = { facility: 13, host: "gate.acme.example" };

group("syslog", () => {
  it("says when, how severe, whose and what came of it, and holds the line to the byte", () => {
    const given = of(call);
    const read = parseSyslog(toSyslog(given, { ...FORM, message: "event" }));
    expect(read).toMatchObject({ facility: 13, severity: 6, time: "2026-11-21T12:30:15.007Z", host: FORM.host });
    expect(read).toMatchObject({ app: "tollgate", process: "-", messageId: "call" });
    expect(read.data["tollgate@32473"]).toEqual({
      id: call.id,
      tenant: "acme",
      outcome: "ok",
      principal: "token:dev",
      team: "platform",
      group: "demo",
      server: "everything",
      tool: "echo",
      decision: "allow",
      policies: "all",
      address: "2001:db8::7",
      trace: "0af7651916cd43dd8448eb211c80319c",
    });
    expect(read.text).toBe(given.line);
  });

  it("escapes what its structured data gives a meaning; control characters become spaces", () => {
    const read = parseSyslog(toSyslog(of(nasty), { ...FORM, message: "text" }));
    const plain = 'a|b\\c=d "e" ]f g h <i> cs1=x é\u{1f600} \u{fffd}';
    expect(read.data["tollgate@32473"]).toMatchObject({ principal: plain, tool: plain });
    expect(read.text).not.toMatch(/[\n\r\0]/);
  });

  it("is framed by octets, not by characters or lines", () => {
    const messages = ["é\u{1f600}\nx", "12 y", " "];
    const bytes = Buffer.concat(messages.map(framed));
    expect(readFrames(bytes)).toEqual({ messages, rest: Buffer.alloc(0) });
  });
});

group("CEF", () => {
  it("has the fields that it is documented with", () => {
    const read = parseCef(toCef(of(call), FORM.host));
    expect(read.header).toEqual(["0", "Tollgate", "Tollgate", "1", "call.ok", "MCP call", "1"]);
    expect(read.extension).toMatchObject({
      rt: String(AT),
      externalId: call.id,
      dvchost: FORM.host,
      outcome: "ok",
      act: "allow",
      suser: "token:dev",
      c6a2Label: "sourceAddress",
      c6a2: "2001:db8::7",
      in: "100",
      out: "200",
      cs1Label: "tenant",
      cs1: "acme",
      cs3: "echo",
      cn1Label: "durationMs",
      cn1: "2",
      flexString1: "0af7651916cd43dd8448eb211c80319c",
    });
  });

  it("escapes pipes in the header and equals signs in the extension, backslashes in both, and line breaks", () => {
    const read = parseCef(toCef(of(nasty), FORM.host));
    const kept = NASTY.replace("\0", "\u{fffd}");
    expect(read.extension).toMatchObject({ suser: kept, cs3: kept, reason: kept, cs2: "all=1", src: "10.0.0.7" });
    const odd = of({ ...nasty, code: "a|b\\c\nd" as "denied" });
    expect(parseCef(toCef(odd, FORM.host)).header[4]).toBe("refusal.a|b\\c d");
  });

  it("travels in an RFC 5424 message", () => {
    const cef = toCef(of(nasty), FORM.host);
    const read = parseSyslog(inSyslog(of(nasty), cef, { ...FORM, facility: 4 }));
    expect(read).toMatchObject({ facility: 4, severity: 4, data: {}, text: cef });
  });
});

group("OTLP", () => {
  /** As a collector reads it. */
  const recordOf = (event: AuditEvent) => {
    const request = JSON.parse(JSON.stringify(toOtlpLogs([of(event)], { host: FORM.host, nowMs: AT + 5 })));
    const [{ resource, scopeLogs }] = request.resourceLogs;
    expect(resource.attributes).toContainEqual({ key: "service.name", value: { stringValue: "tollgate" } });
    const [record] = scopeLogs[0].logRecords;
    const attributes = Object.fromEntries(
      record.attributes.map(({ key, value }: { key: string; value: object }) => [key, value]),
    );
    return { record, attributes };
  };

  it("has the event's times, severity, trace and attributes", () => {
    const { record, attributes } = recordOf(call);
    expect(record).toMatchObject({
      timeUnixNano: `${AT}000000`,
      observedTimeUnixNano: `${AT + 5}000000`,
      severityNumber: 9,
      severityText: "INFO",
      eventName: "tollgate.call",
      body: { stringValue: JSON.stringify(call) },
      traceId: "0af7651916cd43dd8448eb211c80319c",
      spanId: "b7ad6b7169203331",
      flags: 1,
    });
    expect(attributes).toMatchObject({
      "log.record.uid": { stringValue: call.id },
      "user.id": { stringValue: "token:dev" },
      "client.address": { stringValue: "2001:db8::7" },
      "mcp.method.name": { stringValue: "tools/call" },
      "gen_ai.tool.name": { stringValue: "echo" },
      "tollgate.policies": { arrayValue: { values: [{ stringValue: "all" }] } },
      "tollgate.duration_ms": { doubleValue: 1.5 },
    });
    expect(attributes).not.toHaveProperty("error.type");
  });

  it("leaves out what an event does not have", () => {
    const { record, attributes } = recordOf(KINDS[3]!);
    expect(record).not.toHaveProperty("traceId");
    expect(Object.keys(attributes).toSorted()).toEqual([
      "log.record.uid",
      "tollgate.outcome",
      "tollgate.reason",
      "tollgate.tenant",
    ]);
    expect(recordOf({ ...call, outcome: "timeout" }).attributes["error.type"]).toEqual({ stringValue: "timeout" });
  });
});

test.each(KINDS.map((event) => [event.kind, event] as const))(
  "%s events can be written in each format",
  (kind, event) => {
    expect(parseSyslog(toSyslog(of(event), { ...FORM, message: "text" })).messageId).toBe(kind);
    expect(parseCef(toCef(of(event), FORM.host)).extension["cat"]).toBe(kind);
    expect(JSON.stringify(toOtlpLogs([of(event)], { host: FORM.host, nowMs: AT }))).toContain(event.id);
    // oxlint-disable-next-line no-control-regex
    expect(describe(event)).not.toMatch(/[\u0000-\u001f]|undefined/);
  },
);

test("what a kind means to whoever is on call", () => {
  expect(KINDS.map(severityOf)).toEqual([6, 4, 5, 1, 5, 5, 3, 5, 5]);
  expect(
    (["ok", "cancelled", "timeout", "unknown"] as const).map((outcome) => severityOf({ ...call, outcome })),
  ).toEqual([6, 5, 4, 3]);
});

group("what is sent", () => {
  const selection = { tenants: [], kinds: [], outcomes: [] };

  it("is what the export wants", () => {
    expect(isWanted(selection, call)).toBe(true);
    expect(isWanted({ tenants: ["acme"], kinds: ["call"], outcomes: ["ok", "error"] }, call)).toBe(true);
    for (const other of [{ tenants: ["other"] }, { kinds: ["alert"] }, { outcomes: ["error"] }])
      expect(isWanted({ ...selection, ...other }, call)).toBe(false);
  });

  it("goes in parts of so many events and bytes, in order; what is too large goes alone", () => {
    const events = [10, 10, 10, 50, 10, 10].map((length, at) => ({ event: call, line: String(at).repeat(length) }));
    const parts = [...partsOf(events, { countMax: 2, bytesMax: 25 })].map((part) => part.map(({ line }) => line[0]));
    expect(parts).toEqual([["0", "1"], ["2"], ["3"], ["4", "5"]]);
    expect([...partsOf([], { countMax: 2, bytesMax: 25 })]).toEqual([]);
  });
});
