import type { ArgumentTest, Conditions } from "@tollgate/desired-state";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { engineOf, policyOf, targetOf } from "../../test/sample-policies.ts";
import { createCedarEngine } from "./cedar-engine.ts";
import type { SignIn, Subject, Target } from "./cedar-question.ts";
import { compile } from "./compiled-policy.ts";
import { type Decision, deciderFor } from "./decision.ts";
import type { PolicyRecord } from "./policy.ts";

// Decisions as the short form promises them, worked out a second time without Cedar, and compared.

/** A Monday, 12:00. */
const NOW = Date.UTC(2027, 0, 4, 12);

interface Asked {
  readonly subject: Subject;
  readonly action: string;
  readonly target: Target;
  readonly address: string;
  readonly signIn: SignIn;
  /** Undefined: any. */
  readonly callArguments: Readonly<Record<string, unknown>> | undefined;
}

const anyArgumentTest: fc.Arbitrary<ArgumentTest> = fc.constantFrom<ArgumentTest[]>(
  { is: "a" },
  { is: 1 },
  { is: true },
  { in: ["a", "b"] },
  { in: [1, 2] },
  { like: "a*" },
  { min: 1 },
  { max: 1.5 },
  { min: 1, max: 2 },
);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 3 });
const someOf = <T>(...values: T[]) => fc.subarray(values, { minLength: 1 });
const anyConditions: fc.Arbitrary<Conditions> = fc
  .record({
    environment: maybe(someOf("production", "staging")),
    time: maybe(
      fc.constantFrom({ from: "08:00", to: "18:00", timezone: "UTC" }, { from: "13:00", to: "11:00", timezone: "UTC" }),
    ),
    weekdays: maybe(fc.constantFrom(["mon" as const], ["sun" as const, "sat" as const])),
    network: maybe(fc.constantFrom(["10.0.0.0/8"], ["192.0.2.1", "2001:db8::/32"])),
    risk: maybe(someOf("LOW" as const, "HIGH" as const)),
    mfa: maybe(fc.constant(true as const)),
    acr: maybe(someOf("gold", "silver")),
    max_sign_in_age: maybe(fc.constantFrom(60, 3_600)),
    arguments: maybe(fc.dictionary(fc.constantFrom("a", "b", "o.d"), anyArgumentTest, { minKeys: 1, maxKeys: 2 })),
    require_sandbox: maybe(fc.constant(true as const)),
  })
  .map((given) => JSON.parse(JSON.stringify(given)) as Conditions);
const anyPolicy = fc.record({
  effect: fc.constantFrom<"allow" | "deny">("allow", "allow", "deny"),
  tenant: fc.constantFrom("", "", "acme", "globex"),
  principals: fc.subarray(["*", "token:dev", "agent:dev", "user:dev", "role:r", "role:q", "team:t", "tenant:acme"], {
    minLength: 1,
    maxLength: 2,
  }),
  actions: fc.subarray(["*", "tools/list", "tools/call"], { minLength: 1 }),
  resources: fc.subarray(["*", "group:g", "s:*", "*:read*", "other:x"], { minLength: 1, maxLength: 2 }),
  conditions: fc.oneof({ weight: 1, arbitrary: fc.constant<Conditions>({}) }, { weight: 3, arbitrary: anyConditions }),
});
const anyPolicies = fc
  .array(anyPolicy, { maxLength: 6 })
  .map((list) => list.map((part, index) => policyOf({ ...part, id: `p${index}` })));
const anyValue = fc.constantFrom<unknown[]>(
  "a",
  "ab",
  "b",
  "",
  0,
  1,
  1.5,
  2,
  1e300,
  true,
  false,
  null,
  ["a"],
  { d: 1 },
  { d: "a" },
  {},
);
const anyAsked: fc.Arbitrary<Asked> = fc.record({
  subject: fc.record({
    kind: fc.constantFrom("token" as const, "agent" as const, "user" as const),
    id: fc.constantFrom("dev", "other"),
    tenant: fc.constantFrom("acme", "globex", "x"),
    team: fc.constantFrom("t", "u"),
    roles: fc.subarray(["r", "q"]),
  }),
  action: fc.constantFrom("tools/list", "tools/call"),
  target: fc
    .record({
      group: fc.constantFrom("g", "h"),
      server: fc.constantFrom("s", "other"),
      tool: fc.constantFrom("x", "read", "read_a"),
      sandboxed: fc.boolean(),
      environment: fc.constantFrom("", "production", "staging"),
      risk: fc.constantFrom("LOW", "HIGH", "CRITICAL"),
    })
    .map(targetOf),
  address: fc.constantFrom("", "10.1.1.1", "192.0.2.1", "2001:db8::5", "::ffff:10.0.0.1", "nowhere"),
  signIn: fc
    .record({
      amr: fc.constantFrom([], ["pwd"], ["pwd", "mfa"]),
      acr: fc.constantFrom("", "gold", "mfa"),
      atMs: fc.constantFrom(undefined, NOW - 30_000, NOW - 600_000, NOW - 7_200_000),
    })
    .map(({ atMs, ...rest }) => (atMs === undefined ? rest : { ...rest, atMs })),
  callArguments: maybe(fc.dictionary(fc.constantFrom("a", "b", "o", "o.d"), anyValue, { maxKeys: 3 })),
});

/** Whether a condition is fulfilled; undefined where that is not known. */
type Known = boolean | undefined;

function argumentKnown(name: string, wanted: ArgumentTest, given: Readonly<Record<string, unknown>>): Known {
  const whole = Object.hasOwn(given, name) ? [given[name]] : [];
  const [outer, inner] = name.split(".");
  const at = inner === undefined ? undefined : given[outer!];
  if (inner !== undefined && Object.hasOwn(given, outer!)) {
    if (Array.isArray(at) || at === null || typeof at === "string" || at === 1e300) return undefined;
    if (typeof at === "object" && Object.hasOwn(at, inner)) whole.push((at as Record<string, unknown>)[inner]);
  }
  if (whole.length === 0) return false;
  if (whole.length > 1) return undefined;
  const [value] = whole;
  const type = typeof (wanted.is ?? wanted.in?.[0] ?? wanted.like ?? wanted.min ?? wanted.max);
  if (typeof value !== type || value === 1e300) return undefined;
  if (wanted.is !== undefined) return value === wanted.is;
  if (wanted.in !== undefined) return (wanted.in as unknown[]).includes(value);
  if (wanted.like !== undefined) return (value as string).startsWith(wanted.like.slice(0, -1));
  return (wanted.min ?? -Infinity) <= (value as number) && (value as number) <= (wanted.max ?? Infinity);
}

function networkKnown(network: readonly string[], address: string): Known {
  const plain = address.replace("::ffff:", "");
  if (plain === "" || plain === "nowhere") return undefined;
  const inside: Record<string, string> = {
    "10.0.0.0/8": "10.",
    "192.0.2.1": "192.0.2.1",
    "2001:db8::/32": "2001:db8:",
  };
  return network.some((each) => plain.startsWith(inside[each]!));
}

/** Of all but the arguments. A deny looks for what is short of the sign-in and of the sandbox. */
function circumstances(effect: string, conditions: Conditions, { target, address, signIn }: Asked): Known[] {
  const { environment, time, weekdays, network, risk, mfa, acr, max_sign_in_age: age, require_sandbox } = conditions;
  const isAllow = effect === "allow";
  const strong =
    (!mfa || signIn.amr.includes("mfa") || signIn.acr === "mfa") &&
    (!acr || acr.includes(signIn.acr)) &&
    (!age || (signIn.atMs !== undefined && NOW - signIn.atMs <= age * 1_000));
  // On Monday at noon; a window from 13:00 to 11:00 is shut, whichever day it began on.
  const isOpen = (time === undefined || time.from === "08:00") && (weekdays === undefined || weekdays.includes("mon"));
  return [
    environment === undefined || environment.includes(target.environment),
    risk === undefined || (risk as readonly string[]).includes(target.risk),
    isOpen,
    network === undefined || networkKnown(network, address),
    mfa || acr || age ? strong === isAllow : true,
    require_sandbox ? target.sandboxed === isAllow : true,
  ];
}

/** @param action the one that is judged: that of the list, or the use of what is listed */
function holds(policy: PolicyRecord, asked: Asked, action: string): boolean {
  const { subject, target, callArguments } = asked;
  const isAllow = policy.effect === "allow";
  const names = ["*", `${subject.kind}:${subject.id}`, `team:${subject.team}`, `tenant:${subject.tenant}`];
  names.push(...subject.roles.map((role) => `role:${role}`));
  const resources = ["*", `group:${target.group}`, `${target.server}:*`, `${target.server}:${target.tool}`];
  if (target.tool.startsWith("read")) resources.push("*:read*");
  const inScope =
    (policy.tenant === "" || policy.tenant === subject.tenant) &&
    policy.principals.some((each) => names.includes(each)) &&
    policy.actions.some((each) => each === "*" || each === action) &&
    policy.resources.some((each) => resources.includes(each));
  const tests = Object.entries(policy.conditions.arguments ?? {});
  const isAny = callArguments === undefined || asked.action !== "tools/call";
  const known = [
    ...circumstances(policy.effect, policy.conditions, asked),
    ...tests.map(([name, each]) => (isAny ? isAllow : argumentKnown(name, each, callArguments))),
  ];
  // What is not known lets an allow not hold and a deny hold.
  return inScope && known.every((each) => each ?? !isAllow);
}

function judge(policies: readonly PolicyRecord[], asked: Asked, action: string): Pick<Decision, "allow" | "policyIds"> {
  const holding = policies.filter((policy) => holds(policy, asked, action));
  const denies = holding.filter(({ effect }) => effect === "deny");
  const ids = (denies.length > 0 ? denies : holding).map(({ id }) => id);
  return { allow: denies.length === 0 && holding.length > 0, policyIds: ids };
}

/** Without the check of policies, which takes long and has its own test. */
function unchecked(policies: readonly PolicyRecord[]) {
  const compiled = policies.map((policy) => ({ ...policy, cedar: compile(policy).cedar, compiled: compile(policy) }));
  return { policies: compiled, engine: createCedarEngine(compiled, new Set(compiled.map(({ cedar }) => cedar))) };
}

function decide(policies: readonly PolicyRecord[], asked: Asked): Decision {
  const compiled = unchecked(policies);
  try {
    const { subject, signIn, target, callArguments, ...rest } = asked;
    const question = { ...rest, nowMs: NOW, arguments: callArguments && JSON.stringify(callArguments) };
    return deciderFor(compiled, { subject, permissions: ["mcp"], signIn }, question)(target);
  } finally {
    compiled.engine.dispose();
  }
}

describe("for any policies and any question", () => {
  test("every policy of the short form fits the schema", () => {
    const list = fc.sample(anyPolicy, 200).map((part, index) => ({ ...part, id: `p${index}` }));
    expect(() => engineOf(...list).dispose()).not.toThrow();
  });

  test("the decision is the one that was promised", () => {
    fc.assert(
      fc.property(anyPolicies, anyAsked, (policies, asked) => {
        const { allow, policyIds, variesByArguments } = decide(policies, asked);
        const list = judge(policies, asked, asked.action);
        const use = judge(policies, asked, "tools/call");
        const isDenied = !list.allow && list.policyIds.length > 0;
        const expected = asked.action === "tools/list" && !isDenied ? use : list;
        expect(allow).toBe(expected.allow);
        // Asked without arguments, as lists always are, it names those that hold with some, or with any.
        if (variesByArguments || (asked.callArguments !== undefined && asked.action === "tools/call"))
          expect(policyIds).toEqual(expected.policyIds);
        else expect(expected.policyIds).toEqual(expect.arrayContaining([...policyIds]));
      }),
      { numRuns: 800 },
    );
  });

  test("what does not vary by arguments is decided so with any of them", () => {
    fc.assert(
      fc.property(
        anyPolicies,
        anyAsked,
        fc.dictionary(fc.constantFrom("a", "b", "o"), anyValue),
        (policies, asked, given) => {
          const call = { ...asked, action: "tools/call" };
          const without = decide(policies, { ...call, callArguments: undefined });
          const { allow } = decide(policies, { ...call, callArguments: given });
          if (!without.variesByArguments) expect(allow).toBe(without.allow);
          else expect(without.allow).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("a deny more never allows, an allow more never denies", () => {
    fc.assert(
      fc.property(anyPolicies, anyPolicy, anyAsked, (policies, extra, asked) => {
        const before = decide(policies, asked).allow;
        const after = decide([...policies, policyOf({ ...extra, id: "extra" })], asked).allow;
        expect(extra.effect === "deny" ? before || !after : !before || after).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test("their order does not matter", () => {
    fc.assert(
      fc.property(anyPolicies, anyAsked, (policies, asked) => {
        expect(decide(policies.toReversed(), asked)).toEqual(decide(policies, asked));
      }),
      { numRuns: 200 },
    );
  });

  test("what nobody knows is refused", () => {
    const anyWord = fc.string().filter((word) => !["", "LOW", "MEDIUM", "HIGH", "CRITICAL"].includes(word));
    const everything = [policyOf({})];
    fc.assert(
      fc.property(anyAsked, anyWord, (asked, word) => {
        expect(decide(everything, { ...asked, target: { ...asked.target, risk: word } }).allow).toBe(false);
        expect(decide(everything, { ...asked, action: `tools/${word}x` }).allow).toBe(false);
      }),
      { numRuns: 100 },
    );
  });
});
