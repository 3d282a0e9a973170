import { describe, expect, test } from "vitest";
import { createCedarEngine, type EnginePolicy, type Subject, type Target } from "./cedar-engine.ts";

const SUBJECT: Subject = { id: "dev", tenant: "acme", team: "t", roles: ["r"] };
const TARGET: Target = { group: "g", server: "s", tool: "x" };

function engineOf(policies: EnginePolicy[]) {
  return createCedarEngine(policies, (name) => (name === "dev" ? "acme" : undefined));
}

function policy(id: string, cedar: string, principals = ["*"]): EnginePolicy {
  return { id, principals, cedar };
}

const ALLOW = policy("allow", "permit(principal, action, resource);");

describe("what cannot be evaluated is denied", () => {
  test.each([
    ["an attribute that nothing has", "permit(principal, action, resource) when { resource.risk == 1 };"],
    ["an attribute of principals", 'forbid(principal, action, resource) when { principal.email == "a" };'],
    ["a context that nobody gives", 'forbid(principal, action, resource) when { context.environment == "prod" };'],
    ["an action that is not there", 'permit(principal, action == Action::"tools/none", resource);'],
    ["a type that is not there", 'permit(principal in User::"x", action, resource);'],
    ["types that do not fit", "permit(principal, action, resource) when { resource.tool > 1 };"],
    ["text that is not Cedar", "permit(principal, action"],
  ])("%s keeps the set from being taken", (_name, cedar) => {
    expect(() => engineOf([ALLOW, policy("bad", cedar)])).toThrow(/policy bad does not fit|policies do not parse/);
  });

  test.each(["permit", "forbid"])("a %s that fails while it is evaluated refuses, whatever else allows", (effect) => {
    const failing = `${effect}(principal, action, resource) when { 9223372036854775807 + 1 == 0 };`;
    expect(engineOf([ALLOW, policy("failing", failing)]).decide(SUBJECT, "tools/call", TARGET)).toEqual({
      allow: false,
      policyIds: ["failing"],
      failure: expect.stringContaining("policy failing: "),
    });
  });

  test("a request that is not one refuses", () => {
    const engine = engineOf([ALLOW]);
    expect(engine.decide({ ...SUBJECT, roles: [{} as unknown as string] }, "tools/call", TARGET)).toMatchObject({
      allow: false,
    });
  });
});

describe("a tenant's set", () => {
  const policies = [
    policy("all", "permit(principal, action, resource);"),
    policy("ours", 'forbid(principal in Tenant::"acme", action, resource);', ["tenant:acme"]),
    policy("mine", 'forbid(principal in Token::"dev", action, resource);', ["token:dev"]),
    policy("theirs", 'forbid(principal in Tenant::"globex", action, resource);', ["tenant:globex"]),
    policy("role", 'permit(principal in Role::"r", action, resource);', ["role:r"]),
  ];
  const engine = engineOf(policies);

  test("holds what may concern somebody of the tenant", () => {
    const concerned = (tenant: string) => policies.filter((each) => engine.concerns(each, tenant)).map(({ id }) => id);
    expect(concerned("acme")).toEqual(["all", "ours", "mine", "role"]);
    expect(concerned("globex")).toEqual(["all", "theirs", "role"]);
    expect(concerned("third")).toEqual(["all", "role"]);
  });

  test("decides as the whole would", () => {
    expect(engine.decide(SUBJECT, "tools/call", TARGET).policyIds).toEqual(["mine", "ours"]);
    expect(engine.decide({ ...SUBJECT, id: "x", tenant: "globex" }, "tools/call", TARGET).policyIds).toEqual([
      "theirs",
    ]);
    expect(engine.decide({ ...SUBJECT, id: "x", tenant: "third" }, "tools/call", TARGET).policyIds).toEqual([
      "all",
      "role",
    ]);
  });

  test("is there for any number of tenants", () => {
    const many = Array.from({ length: 600 }, (_, index) =>
      policy(`p${index}`, `permit(principal in Tenant::"t${index}", action, resource);`, [`tenant:t${index}`]),
    );
    const large = engineOf(many);
    for (const index of [...many.keys(), 0, 599]) {
      const verdict = large.decide({ ...SUBJECT, tenant: `t${index}` }, "tools/call", TARGET);
      expect(verdict).toEqual({ allow: true, policyIds: [`p${index}`] });
    }
    large.dispose();
  });
});
