import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { engineOf, enginePolicyOf, targetOf } from "../../test/sample-policies.ts";
import { type CedarEngine, createCedarEngine, type EnginePolicy } from "./cedar-engine.ts";
import { NO_SIGN_IN, type Subject } from "./cedar-question.ts";
import { ALL_ACTIONS } from "./compiled-policy.ts";

const SUBJECT: Subject = { kind: "token", id: "dev", tenant: "acme", team: "t", roles: ["r"] };
const CALL = { action: "tools/call", target: targetOf() };
const ASKED = { nowMs: 0, signIn: NO_SIGN_IN };

function decide(engine: CedarEngine, subject = SUBJECT, on = CALL) {
  return engine.decide(subject, on, ASKED);
}

/** With Cedar text that nothing has checked before. */
function policy(id: string, cedar: string): EnginePolicy {
  const plain = enginePolicyOf({ id });
  return { ...plain, cedarText: cedar, compiled: { ...plain.compiled, cedar } };
}

const ALLOW = policy("allow", "permit(principal, action, resource);");

describe("what cannot be evaluated is denied", () => {
  test.each([
    ["an attribute that nothing has", "permit(principal, action, resource) when { resource.owner == 1 };"],
    ["an attribute of principals", 'forbid(principal, action, resource) when { principal.email == "a" };'],
    ["a context that nobody gives", 'forbid(principal, action, resource) when { context.environment == "prod" };'],
    ["an action that is not there", 'permit(principal, action == Action::"tools/none", resource);'],
    ["a type that is not there", 'permit(principal in Person::"x", action, resource);'],
    ["types that do not fit", "permit(principal, action, resource) when { resource.name > 1 };"],
    ["text that is not Cedar", "permit(principal, action"],
  ])("%s keeps the set from being taken", (_name, cedar) => {
    expect(() => createCedarEngine([ALLOW, policy("bad", cedar)])).toThrow(
      /policy bad does not fit|policies do not parse/,
    );
  });

  test.each(["permit", "forbid"])("a %s that fails while it is evaluated refuses, whatever else allows", (effect) => {
    const failing = `${effect}(principal, action, resource) when { 9223372036854775807 + 1 == 0 };`;
    expect(decide(createCedarEngine([ALLOW, policy("failing", failing)]))).toEqual({
      allow: false,
      policyIds: ["failing"],
      failure: expect.stringContaining("policy failing: "),
    });
  });

  test("a request that is not one refuses", () => {
    const engine = createCedarEngine([ALLOW]);
    expect(decide(engine, { ...SUBJECT, roles: [{} as unknown as string] })).toMatchObject({
      allow: false,
    });
  });
});

describe("a subject's set", () => {
  const anyPrincipals = fc.subarray(
    ["*", "token:dev", "agent:dev", "user:dev", "role:r", "role:q", "team:t", "team:u", "tenant:acme", "tenant:x"],
    {
      minLength: 1,
      maxLength: 3,
    },
  );
  const anyPolicy = fc.record({
    effect: fc.constantFrom("allow" as const, "deny" as const),
    principals: anyPrincipals,
    actions: fc.constantFrom(["*"], ["tools/call"], ["admin/*"], ["tools/list", "prompts/get"]),
    tenant: fc.constantFrom("", "", "acme", "x"),
  });
  const anyAction = fc.constantFrom("tools/call", "tools/list", "prompts/get", "admin/tokens/read");
  const anySubject = fc.record({
    kind: fc.constantFrom("token" as const, "agent" as const, "user" as const),
    id: fc.constantFrom("dev", "other"),
    tenant: fc.constantFrom("acme", "x", "y"),
    team: fc.constantFrom("t", "u", "v"),
    roles: fc.subarray(["r", "q", "s"]),
  });

  test("decides as all policies together would", () => {
    fc.assert(
      fc.property(fc.array(anyPolicy, { maxLength: 8 }), anySubject, anyAction, (list, subject, action) => {
        const policies = list.map((part, index) => enginePolicyOf({ ...part, id: `p${index}` }));
        const sliced = createCedarEngine(policies);
        const whole = createCedarEngine(
          policies.map(({ compiled, ...each }) => {
            const principals = new Set([...compiled.principals, "*"]);
            return { ...each, tenant: "", compiled: { ...compiled, principals, actions: ALL_ACTIONS } };
          }),
        );
        const on = { ...CALL, action };
        expect(decide(sliced, subject, on)).toEqual(decide(whole, subject, on));
        sliced.dispose();
        whole.dispose();
      }),
      { numRuns: 150 },
    );
  });

  test("is there for any number of subjects", () => {
    const many = Array.from({ length: 1_300 }, (_, index) => ({ id: `p${index}`, principals: [`role:r${index}`] }));
    const large = engineOf(...many);
    for (const index of [...many.keys(), 0, 1_299]) {
      const verdict = decide(large, { ...SUBJECT, roles: [`r${index}`] });
      expect(verdict).toEqual({ allow: true, policyIds: [`p${index}`] });
    }
    large.dispose();
  });
});

test("sets whose policies stay are handed on, and decide as before", () => {
  const first = engineOf({ id: "a", tenant: "acme" }, { id: "x", tenant: "x" });
  const next = engineOf({ id: "a", tenant: "acme" }, { id: "x", tenant: "x", effect: "deny" });
  const other = { ...SUBJECT, tenant: "x" };
  expect([decide(first).allow, decide(first, other).allow]).toEqual([true, true]);
  first.dispose(next);
  expect(decide(next)).toEqual({ allow: true, policyIds: ["a"] });
  expect(decide(next, other)).toEqual({ allow: false, policyIds: ["x"] });
  expect(decide(first).failure).toBe("this set of policies is no longer in use");
  next.dispose();
});
