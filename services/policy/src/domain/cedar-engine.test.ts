import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { toCedarText } from "./cedar-text.ts";
import { createCedarEngine, type EnginePolicy, type Subject, type Target } from "./cedar-engine.ts";

const SUBJECT: Subject = { kind: "token", id: "dev", tenant: "acme", team: "t", roles: ["r"] };
const TARGET: Target = { group: "g", server: "s", tool: "x", sandboxed: false };

function policy(id: string, cedar: string, principals = ["*"]): EnginePolicy {
  return { id, principals, cedar };
}

const EVERYTHING = { actions: ["*"], resources: ["*"], requireSandbox: false };
const ALLOW = policy("allow", "permit(principal, action, resource);");

describe("what cannot be evaluated is denied", () => {
  test.each([
    ["an attribute that nothing has", "permit(principal, action, resource) when { resource.risk == 1 };"],
    ["an attribute of principals", 'forbid(principal, action, resource) when { principal.email == "a" };'],
    ["a context that nobody gives", 'forbid(principal, action, resource) when { context.environment == "prod" };'],
    ["an action that is not there", 'permit(principal, action == Action::"tools/none", resource);'],
    ["a type that is not there", 'permit(principal in Person::"x", action, resource);'],
    ["types that do not fit", "permit(principal, action, resource) when { resource.tool > 1 };"],
    ["text that is not Cedar", "permit(principal, action"],
  ])("%s keeps the set from being taken", (_name, cedar) => {
    expect(() => createCedarEngine([ALLOW, policy("bad", cedar)])).toThrow(
      /policy bad does not fit|policies do not parse/,
    );
  });

  test.each(["permit", "forbid"])("a %s that fails while it is evaluated refuses, whatever else allows", (effect) => {
    const failing = `${effect}(principal, action, resource) when { 9223372036854775807 + 1 == 0 };`;
    expect(createCedarEngine([ALLOW, policy("failing", failing)]).decide(SUBJECT, "tools/call", TARGET)).toEqual({
      allow: false,
      policyIds: ["failing"],
      failure: expect.stringContaining("policy failing: "),
    });
  });

  test("a request that is not one refuses", () => {
    const engine = createCedarEngine([ALLOW]);
    expect(engine.decide({ ...SUBJECT, roles: [{} as unknown as string] }, "tools/call", TARGET)).toMatchObject({
      allow: false,
    });
  });
});

describe("a subject's set", () => {
  const anyPrincipals = fc.subarray(
    ["*", "token:dev", "user:dev", "role:r", "role:q", "team:t", "team:u", "tenant:acme", "tenant:x"],
    {
      minLength: 1,
      maxLength: 3,
    },
  );
  const anyPolicy = fc.record({
    effect: fc.constantFrom("allow" as const, "deny" as const),
    principals: anyPrincipals,
  });
  const anySubject = fc.record({
    kind: fc.constantFrom("token" as const, "user" as const),
    id: fc.constantFrom("dev", "other"),
    tenant: fc.constantFrom("acme", "x", "y"),
    team: fc.constantFrom("t", "u", "v"),
    roles: fc.subarray(["r", "q", "s"]),
  });

  test("decides as all policies together would", () => {
    fc.assert(
      fc.property(fc.array(anyPolicy, { maxLength: 8 }), anySubject, (list, subject) => {
        const policies = list.map(({ effect, principals }, index) => {
          const id = `p${index}`;
          return { id, principals, cedar: toCedarText({ ...EVERYTHING, id, effect, principals }) };
        });
        const sliced = createCedarEngine(policies);
        const whole = createCedarEngine(policies.map((each) => ({ ...each, principals: ["*"] })));
        expect(sliced.decide(subject, "tools/call", TARGET)).toEqual(whole.decide(subject, "tools/call", TARGET));
        sliced.dispose();
        whole.dispose();
      }),
      { numRuns: 150 },
    );
  });

  test("is there for any number of subjects", () => {
    const many = Array.from({ length: 600 }, (_, index) =>
      policy(`p${index}`, `permit(principal in Role::"r${index}", action, resource);`, [`role:r${index}`]),
    );
    const large = createCedarEngine(many);
    for (const index of [...many.keys(), 0, 599]) {
      const verdict = large.decide({ ...SUBJECT, roles: [`r${index}`] }, "tools/call", TARGET);
      expect(verdict).toEqual({ allow: true, policyIds: [`p${index}`] });
    }
    large.dispose();
  });
});
