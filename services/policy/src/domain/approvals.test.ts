import { DEFAULT_RISK_LEVELS, type DesiredRiskLevel } from "@tollgate/desired-state";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type ApprovalRecord,
  canonicalJson,
  type Choice,
  demandOf,
  type Grant,
  hear,
  indexGrants,
  type Vote,
  withApproval,
} from "./approvals.ts";

const NOW = Date.UTC(2027, 0, 1);
const MINUTE = 60_000;
const { HIGH, CRITICAL } = DEFAULT_RISK_LEVELS.levels;
const CALL = { tenant: "acme", principal: "bot", server: "db", tool: "drop", digest: "d1" };
const ALLOWED = { allow: true, policyIds: ["p"], reason: "allowed by policy p" };

const grant = (fields: Partial<Grant> = {}): Grant => ({
  ...CALL,
  id: "a1",
  approvedBy: ["ann"],
  expiresAtMs: NOW + MINUTE,
  ...fields,
});

describe("what a risk demands", () => {
  test.each<[string, number | undefined]>([
    ["", undefined],
    ["LOW", undefined],
    ["MEDIUM", undefined],
    ["HIGH", 1],
    ["CRITICAL", 2],
    // Whoever wrote it meant something.
    ["EXTREME", 2],
    ["low", 2],
  ])("of %j: %j people", (risk, people) => {
    expect(demandOf(DEFAULT_RISK_LEVELS, risk)?.approvals).toBe(people);
  });
});

describe("the canonical form of arguments", () => {
  test.each([
    ['{"b":1,"a":{"d":[1,{"y":2,"x":1}],"c":null}}', '{"a":{"c":null,"d":[1,{"x":1,"y":2}]},"b":1}'],
    ['{ "a" : 1.0 }', '{"a":1}'],
    ['{"__proto__":{"b":1,"a":2}}', '{"__proto__":{"a":2,"b":1}}'],
    ['{"10":1,"9":2}', '{"9":2,"10":1}'],
    ["[3,1,2]", "[3,1,2]"],
  ])("of %s is %s", (text, expected) => {
    expect(canonicalJson(text)).toBe(expected);
  });

  test("has the keys that others read, whatever was read before", () => {
    // After the first, JSON.parse of Node 24 reads the second's `amount` as `\\u0061`.
    canonicalJson(String.raw`{"to":[],"\\u0061":0}`);
    expect(canonicalJson(String.raw`{"to":1,"\u0061mount":1}`)).toBe('{"amount":1,"to":1}');
  });

  test("is the same whatever the order of keys, and another for other arguments", () => {
    const reversed = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(reversed);
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(
        Object.entries(value)
          .toReversed()
          .map(([key, each]) => [key, reversed(each)]),
      );
    };
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (one, two) => {
        const canonical = canonicalJson(JSON.stringify(one));
        expect(canonicalJson(JSON.stringify(reversed(one)))).toBe(canonical);
        // Only what is equal is the same; -0 is 0 in JSON.
        if (canonicalJson(JSON.stringify(two)) === canonical)
          expect(JSON.parse(JSON.stringify(two))).toEqual(JSON.parse(JSON.stringify(one)));
      }),
    );
  });
});

describe("a decision", () => {
  const decide = (options: { demand?: DesiredRiskLevel | undefined; grants?: Grant[]; asked?: object | undefined }) => {
    const { demand = HIGH, grants = [], asked = {} } = options;
    const call = "asked" in options && asked === undefined ? undefined : { ...CALL, ...asked };
    return withApproval(ALLOWED, { demand, grants: indexGrants(grants), call, nowMs: NOW });
  };

  test("to deny stays so, whatever was approved", () => {
    const options = { demand: HIGH, grants: indexGrants([grant()]), call: CALL, nowMs: NOW };
    const denied = { ...ALLOWED, allow: false, reason: "denied by policy q" };
    expect(withApproval(denied, options)).toMatchObject({ ...denied, approvalsNeeded: 0, approvalId: "" });
  });

  test("on what demands nothing stays as it is", () => {
    const options = { demand: undefined, grants: indexGrants([]), call: CALL, nowMs: NOW };
    const more = { variesByArguments: true, validUntilMs: 7 };
    expect(withApproval({ ...ALLOWED, ...more }, options)).toEqual({
      ...ALLOWED,
      ...more,
      approvalsNeeded: 0,
      approvalId: "",
    });
  });

  test("without arguments says that some may be allowed", () => {
    const options = { demand: HIGH, grants: indexGrants([]), call: undefined, nowMs: NOW };
    expect(withApproval(ALLOWED, options)).toMatchObject({ allow: true, variesByArguments: true, approvalsNeeded: 0 });
  });

  test("says how many have to approve", () => {
    expect(decide({})).toMatchObject({
      allow: false,
      approvalsNeeded: 1,
      reason: "allowed by policy p, but somebody else has to approve of it first",
    });
    expect(decide({ demand: CRITICAL })).toMatchObject({
      approvalsNeeded: 2,
      reason: "allowed by policy p, but 2 others have to approve of it first",
    });
  });

  test("rests on a grant while that lasts, and says who gave it", () => {
    expect(decide({ grants: [grant({ approvedBy: ["ann", "bob"] })], demand: CRITICAL })).toEqual({
      ...ALLOWED,
      reason: "allowed by policy p; approved by ann, bob, until 2027-01-01T00:01:00.000Z",
      variesByArguments: false,
      validUntilMs: NOW + MINUTE,
      approvalsNeeded: 0,
      approvalId: "a1",
    });
    expect(decide({ grants: [grant({ expiresAtMs: NOW })] }).allow).toBe(false);
    const options = { demand: HIGH, grants: indexGrants([grant()]), call: CALL, nowMs: NOW };
    expect(withApproval({ ...ALLOWED, validUntilMs: NOW + 1 }, options).validUntilMs).toBe(NOW + 1);
  });

  test.each([{ tenant: "rival" }, { principal: "other" }, { server: "db2" }, { tool: "read" }, { digest: "d2" }])(
    "rests on no grant for another call: %j",
    (asked) => {
      expect(decide({ grants: [grant()], asked })).toMatchObject({ allow: false, approvalId: "" });
    },
  );

  test("rests on the grant that more have given, where there are two", () => {
    const strong = grant({ id: "a2", approvedBy: ["ann", "bob"], expiresAtMs: NOW + 1 });
    for (const grants of [
      [strong, grant()],
      [grant(), strong],
    ])
      expect(decide({ grants, demand: CRITICAL })).toMatchObject({ allow: true, approvalId: "a2" });
  });

  test("rests on no grant that fewer have given than have to now", () => {
    expect(decide({ grants: [grant()], demand: CRITICAL }).allow).toBe(false);
  });
});

describe("a word on a request", () => {
  const record = (fields: Partial<ApprovalRecord> = {}): ApprovalRecord => ({
    ...CALL,
    id: "a1",
    team: "t",
    group: "g",
    risk: "HIGH",
    justification: "the table is empty",
    status: "pending",
    needed: 1,
    votes: [],
    requestedAtMs: NOW - MINUTE,
    expiresAtMs: NOW + MINUTE,
    changedAtMs: NOW - MINUTE,
    sealedArguments: Buffer.alloc(0),
    ...fields,
  });
  const vote = (by: string, approve = true): Vote => ({ tenant: "acme", by, approve, reason: "", atMs: NOW });
  const say = (
    about: Partial<ApprovalRecord>,
    choice: Choice,
    { id = "ann", tenant = "acme", reason = "", demand = HIGH } = {},
  ) => hear(record(about), { choice, reason, by: { tenant, id } }, { demand, nowMs: NOW });

  test("approves, and gives access for as long as the level says", () => {
    expect(say({}, "approve")).toEqual({ ok: true, status: "approved", expiresAtMs: NOW + 60 * MINUTE });
    const last = { needed: 2, votes: [vote("bob")] };
    expect(say(last, "approve", { demand: CRITICAL })).toMatchObject({
      status: "approved",
      expiresAtMs: NOW + 15 * MINUTE,
    });
  });

  test("counts with others where more are needed, then or now", () => {
    const pending = { ok: true, status: "pending", expiresAtMs: NOW + MINUTE };
    expect(say({ needed: 2 }, "approve", { demand: CRITICAL })).toEqual(pending);
    expect(say({ needed: 2 }, "approve", { demand: HIGH })).toEqual(pending);
    expect(say({ needed: 1 }, "approve", { demand: CRITICAL })).toEqual(pending);
  });

  test("denies with a reason, which holds as long as the request would have", () => {
    expect(say({}, "deny", { reason: "no" })).toEqual({ ok: true, status: "denied", expiresAtMs: NOW + MINUTE });
    expect(say({}, "deny")).toMatchObject({ ok: false, code: "invalid_argument" });
  });

  test("takes back what was approved, and nothing else", () => {
    expect(say({ status: "approved" }, "revoke")).toEqual({ ok: true, status: "revoked", expiresAtMs: NOW });
    expect(say({}, "revoke")).toMatchObject({ code: "failed_precondition" });
  });

  test.each<Choice>(["approve", "deny", "revoke"])("is nothing of whoever has asked: %s", (choice) => {
    const about = { status: choice === "revoke" ? ("approved" as const) : ("pending" as const) };
    expect(say(about, choice, { id: "bot", reason: "r" })).toMatchObject({ ok: false, code: "permission_denied" });
    // Another's name may be the same in another tenant.
    expect(say(about, choice, { id: "bot", tenant: "rival", reason: "r" }).ok).toBe(true);
  });

  test("is heard once of each", () => {
    const about = { needed: 3, votes: [vote("ann"), vote("bob")] };
    for (const choice of ["approve", "deny"] as const)
      expect(say(about, choice, { reason: "r" })).toMatchObject({ ok: false, code: "already_exists" });
    expect(say(about, "approve", { tenant: "rival" })).toMatchObject({ ok: true, status: "approved" });
  });

  test("approves of nothing that nobody has justified, where that is needed", () => {
    expect(say({ justification: "" }, "approve")).toMatchObject({ code: "failed_precondition" });
    expect(say({ justification: "" }, "deny", { reason: "why?" }).ok).toBe(true);
    expect(say({ justification: "" }, "approve", { demand: { ...HIGH, justification: false } }).ok).toBe(true);
  });

  test.each<[ApprovalRecord["status"], number]>([
    ["approved", 1],
    ["denied", 1],
    ["expired", 1],
    ["revoked", 1],
    ["pending", 0],
  ])("is too late for what is %s, with %i ms left", (status, left) => {
    for (const choice of ["approve", "deny"] as const)
      expect(say({ status, expiresAtMs: NOW + left }, choice, { reason: "r" })).toMatchObject({
        ok: false,
        code: "failed_precondition",
      });
  });
});
