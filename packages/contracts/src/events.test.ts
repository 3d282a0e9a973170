import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type AuditEvent,
  type CallEvent,
  NAME_PATTERN,
  OUTCOMES,
  parseAuditEvent,
  type RefusalEvent,
} from "./events.ts";
import { timeOfId } from "./ids.ts";

const ENDED_MS = 1_763_683_200_003;
const ID = "019aa3b5-ec00-7000-8000-000000000001";
const WEEK_MS = 7 * 86_400_000;

const call: CallEvent = {
  v: 1,
  kind: "call",
  id: ID,
  principal: "alice",
  tenant: "acme",
  team: "dev",
  client: "claude-code/2.1",
  group: "demo",
  server: "everything",
  tool: "echo",
  method: "tools/call",
  protocol: "2026-07-28",
  decision: { allow: true, policies: ["allow-demo"], revision: 4, reason: "allowed by allow-demo" },
  acceptedAt: 1_763_683_200_000,
  requestBytes: 120,
  outcome: "ok",
  startedAt: 1_763_683_200_001,
  endedAt: ENDED_MS,
  queueMs: 0.4,
  durationMs: 2.125,
  responseBytes: 80,
  runner: "r-1",
  coldStart: false,
};

const refusal: RefusalEvent = {
  v: 1,
  kind: "refusal",
  id: ID,
  tenant: "acme",
  endedAt: ENDED_MS,
  code: "denied",
  reason: "no policy allows it",
  method: "tools/call",
  count: 3,
};

function reasonFor(event: unknown): string {
  const parsed = parseAuditEvent(JSON.stringify(event));
  return parsed.ok ? "accepted" : parsed.reason;
}

/** What the stores rely on: they make a key, a partition and numbers of it without looking again. */
function expectUsable(event: AuditEvent): void {
  expect(event.tenant).toMatch(NAME_PATTERN);
  expect(Math.abs(event.endedAt - timeOfId(event.id))).toBeLessThanOrEqual(WEEK_MS);
  if (event.kind === "call") expect(Number.isFinite(event.durationMs)).toBe(true);
}

describe("an event of AUDIT", () => {
  it("comes back as it was written, with fields that only a newer writer knows", () => {
    for (const event of [call, refusal]) {
      const written = { ...event, added: { later: [1, null] } };
      expect(parseAuditEvent(JSON.stringify(written))).toEqual({ ok: true, value: written });
    }
  });

  it("may have each outcome that there is, and no other", () => {
    for (const outcome of OUTCOMES) expect(reasonFor({ ...call, outcome })).toBe("accepted");
    expect(reasonFor({ ...call, outcome: "lost" })).toContain("outcome");
  });

  it.each([
    ["an unknown version", { ...call, v: 2 }, "version"],
    ["no version", { ...call, v: undefined }, "version"],
    ["an id of its own making", { ...call, id: "call-1" }, "id"],
    ["a tenant that is no name", { ...call, tenant: "Acme Ltd" }, "tenant"],
    ["a tenant with a line break", { ...call, tenant: "acme\n" }, "tenant"],
    ["no tenant", { ...refusal, tenant: undefined }, "tenant"],
    ["an end that is no whole number", { ...call, endedAt: 0.5 }, "endedAt"],
    ["an end long after the time in its id", { ...call, endedAt: ENDED_MS + WEEK_MS + 60_000 }, "id's time"],
    ["an end long before the time in its id", { ...refusal, endedAt: 0 }, "id's time"],
    ["an end as a text", { ...refusal, endedAt: "1763683200000" }, "endedAt"],
    ["a refusal without a code", { ...refusal, code: undefined }, "code"],
    ["another kind", { ...call, kind: "note" }, "kind"],
    ["no kind", { ...call, kind: undefined }, "kind"],
    ["a call without a decision", { ...call, decision: null }, "decision"],
    ["a call without a principal", { ...call, principal: undefined }, "principal"],
    ["a call whose tool is no text", { ...call, tool: { name: "echo" } }, "tool"],
    ["a duration as a text", { ...call, durationMs: "2" }, "durationMs"],
    ["a size that is missing", { ...call, responseBytes: undefined }, "responseBytes"],
    ["an array", [call], "version"],
    ["null", null, "object"],
    ["a number", 1, "object"],
  ])("is refused for %s", (_what, event, about) => {
    expect(reasonFor(event)).toContain(about);
  });

  it("is refused when it is longer than anybody may write", () => {
    expect(reasonFor({ ...call, tool: "x".repeat(65_536) })).toContain("longer");
  });

  it("never makes the reader throw, whatever the bytes are", () => {
    const bytes = fc.uint8Array({ maxLength: 400 }).map((each) => Buffer.from(each).toString());
    const json = fc.json();
    const damaged = fc
      .tuple(fc.constantFrom(JSON.stringify(call), JSON.stringify(refusal)), fc.nat(600), fc.string({ maxLength: 4 }))
      .map(([text, at, put]) => text.slice(0, at) + put + text.slice(at + put.length));
    const mixed = fc
      .tuple(fc.constantFrom(call, refusal), fc.dictionary(fc.constantFrom(...Object.keys(call)), fc.jsonValue()))
      .map(([event, changes]) => JSON.stringify({ ...event, ...changes }));
    fc.assert(
      fc.property(fc.oneof(bytes, json, damaged, mixed), (line) => {
        const parsed = parseAuditEvent(line);
        if (parsed.ok) expectUsable(parsed.value);
        else expect(parsed.reason).not.toBe("");
      }),
      { numRuns: 500 },
    );
  });

  it("says what is wrong in a few words, whatever was in it", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (kind, outcome) => {
        for (const event of [
          { ...call, kind },
          { ...call, outcome },
          { ...call, v: kind },
        ]) {
          expect(reasonFor(event).length).toBeLessThan(300);
        }
      }),
    );
    expect(reasonFor({ ...call, kind: "x".repeat(60_000) }).length).toBeLessThan(300);
  });
});

describe("names", () => {
  it.each(["a", "a1", "dev-team", "x".repeat(63)])("may be %s", (name) => expect(name).toMatch(NAME_PATTERN));
  it.each(["", "-a", "a-", "A", "a.b", "a b", "a*", "a>", "ä", "a_b", "a\n", "x".repeat(64)])("may not be %j", (name) =>
    expect(name).not.toMatch(NAME_PATTERN),
  );
});
