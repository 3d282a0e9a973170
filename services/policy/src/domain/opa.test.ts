import fc from "fast-check";
import { expect, test } from "vitest";
import {
  awaitsArguments,
  combineOpaAnswers,
  type OpaAnswer,
  type OpaQuestion,
  type OpaSettings,
  readOpaResult,
  toOpaInput,
  withOpaAnswer,
} from "./opa.ts";

const SETTINGS: OpaSettings = {
  rest: { url: "http://127.0.0.1:8181", path: "tollgate/allow" },
  wasm: null,
  timeoutMs: 500,
  cacheMs: 0,
  sendsArguments: true,
  actions: ["tools/call"],
};
const QUESTION: OpaQuestion = {
  subject: { kind: "user", id: "alice", tenant: "acme", team: "payments", roles: ["developer"] },
  signIn: { amr: ["pwd", "otp"], acr: "loa2" },
  action: "tools/call",
  target: { group: "disk", server: "files", tool: "write", sandboxed: true, environment: "production", risk: "HIGH" },
  address: "192.0.2.7",
  nowMs: Date.UTC(2026, 10, 21, 9, 30),
  callArguments: undefined,
};

const inputOf = (question: Partial<OpaQuestion>, settings: Partial<OpaSettings> = {}) =>
  toOpaInput({ ...SETTINGS, ...settings }, { ...QUESTION, ...question });

test("the input is what the documentation promises", () => {
  expect(JSON.parse(inputOf({ callArguments: '{"path":"/data"}' })!)).toEqual({
    principal: {
      id: "alice",
      kind: "user",
      tenant: "acme",
      team: "payments",
      roles: ["developer"],
      amr: ["pwd", "otp"],
      acr: "loa2",
    },
    action: "tools/call",
    resource: {
      group: "disk",
      server: "files",
      name: "write",
      environment: "production",
      risk: "HIGH",
      sandboxed: true,
    },
    address: "192.0.2.7",
    time: "2026-11-21T09:30:00.000Z",
    arguments: { path: "/data" },
  });
});

test("a tool that says nothing of its risk has a low one", () => {
  const target = { ...QUESTION.target, risk: "" };
  expect(JSON.parse(inputOf({ target })!)).toMatchObject({ resource: { risk: "LOW" } });
});

test("arguments pass as they were written, where it sees them, or not at all", () => {
  const odd = '{"price":1.0,"big":12345678901234567890}';
  expect(inputOf({ callArguments: odd })).toContain(`"arguments":${odd}}`);
  expect(inputOf({ callArguments: odd }, { sendsArguments: false })).not.toContain("arguments");
  expect(inputOf({})).not.toContain("arguments");
});

test.each(['{"a":', "", '1},"action":"tools/list"', `"${"x".repeat(65_536)}"`])("%j is no input", (callArguments) => {
  expect(inputOf({ callArguments })).toBeUndefined();
});

test("it waits for the arguments of what has any", () => {
  expect(awaitsArguments(SETTINGS, QUESTION)).toBe(true);
  expect(awaitsArguments(SETTINGS, { ...QUESTION, callArguments: "{}" })).toBe(false);
  expect(awaitsArguments(SETTINGS, { ...QUESTION, action: "resources/read" })).toBe(false);
  expect(awaitsArguments({ ...SETTINGS, sendsArguments: false }, QUESTION)).toBe(false);
});

const allowed = {
  allow: true,
  policyIds: ["developers"],
  reason: "allowed by policy developers",
  variesByArguments: false,
  validUntilMs: 0,
  stepUp: undefined,
  approvalsNeeded: 0,
  approvalId: "",
  limits: [],
  record: [],
};
const NOW = { cacheMs: 0, nowMs: 1_000 };

test("what becomes of a decision to allow", () => {
  const allow: OpaAnswer = { kind: "allow" };
  expect(withOpaAnswer(allowed, allow, NOW)).toEqual({
    ...allowed,
    policyIds: ["developers", "opa"],
    reason: "allowed by policy developers and by OPA",
    validUntilMs: 1_000,
  });
  expect(withOpaAnswer(allowed, { kind: "deny", reason: "" }, NOW)).toMatchObject({
    allow: false,
    policyIds: ["opa"],
    reason: "denied by OPA",
  });
  expect(withOpaAnswer(allowed, { kind: "deny", reason: "not today" }, NOW).reason).toBe("denied by OPA: not today");
  expect(withOpaAnswer(allowed, { kind: "undecided", reason: "OPA is away" }, NOW)).toMatchObject({
    allow: false,
    policyIds: ["opa"],
    reason: "could not be decided, so it is denied: OPA is away",
  });
});

test("an answer is remembered for as long as the settings say, and no longer than the decision", () => {
  const cached = { cacheMs: 5_000, nowMs: 1_000 };
  const until = (validUntilMs: number, answer: OpaAnswer) =>
    withOpaAnswer({ ...allowed, validUntilMs }, answer, cached).validUntilMs;
  expect(until(0, { kind: "allow" })).toBe(6_000);
  expect(until(3_000, { kind: "allow" })).toBe(3_000);
  expect(until(9_000, { kind: "deny", reason: "" })).toBe(6_000);
  // That nobody answered is not remembered at all.
  expect(until(0, { kind: "undecided", reason: "" })).toBe(1_000);
});

const answers: fc.Arbitrary<OpaAnswer> = fc.constantFrom<OpaAnswer>(
  { kind: "allow" },
  { kind: "deny", reason: "no" },
  { kind: "undecided", reason: "late" },
);

test("several: a deny wins, and only where all allow it is allowed", () => {
  fc.assert(
    fc.property(fc.array(answers, { maxLength: 4 }), (given) => {
      const kinds = given.map(({ kind }) => kind);
      const all = kinds.length > 0 && kinds.every((kind) => kind === "allow");
      const expected = all ? "allow" : kinds.includes("deny") ? "deny" : "undecided";
      expect(combineOpaAnswers(given).kind).toBe(expected);
    }),
  );
});

test("whatever it answers, only true and allow: true allow", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (result) => {
      const says = typeof result === "object" && result !== null && "allow" in result ? result.allow : result;
      expect(readOpaResult(result).kind === "allow").toBe(says === true);
    }),
  );
});
