import { expect, test } from "vitest";
import { policyOf } from "../../test/sample-policies.ts";
import { concernsTenant, describeMistakes, parsePolicy, samePolicy } from "./policy.ts";

const GOOD = {
  id: "p",
  effect: "allow",
  principals: ["*"],
  actions: ["tools/call"],
  resources: ["files:*"],
};

const WRITTEN = { ...GOOD, tenant: "", description: "", conditions: {}, record: [], cedarText: "" };

test("a good policy is taken", () => {
  expect(parsePolicy(GOOD)).toEqual({ ok: true, value: WRITTEN });
  const strict = { tenant: "acme", description: "why", conditions: { require_sandbox: true } };
  expect(parsePolicy({ ...GOOD, ...strict })).toEqual({ ok: true, value: { ...WRITTEN, ...strict } });
});

test("one in Cedar is taken as it is, with what its effect is", () => {
  const cedar = 'permit(principal, action == Action::"tools/call", resource);';
  const rest = { effect: "allow", principals: [], actions: [], resources: [], cedarText: cedar };
  expect(parsePolicy({ id: "p", cedar })).toEqual({ ok: true, value: { ...WRITTEN, ...rest } });
});

test("what it asks to record is one of the known, in one order; in Cedar it is an annotation", () => {
  const record = ["result", "arguments"];
  expect(parsePolicy({ ...GOOD, record })).toMatchObject({ ok: true, value: { record: ["arguments", "result"] } });
  const inCedar = (annotation: string) =>
    parsePolicy({ id: "p", cedar: `@id("x")\n  ${annotation}\npermit(principal, action, resource);` });
  expect(inCedar('@record("result, arguments")')).toMatchObject({
    ok: true,
    value: { record: ["arguments", "result"] },
  });
  expect(inCedar('@record("result")')).toMatchObject({ ok: true, value: { record: ["result"] } });
  for (const wrong of ['@record("all")', '@record("")', "@record"])
    expect(inCedar(wrong)).toMatchObject({
      ok: false,
      mistakes: [{ path: "cedar:2:3", message: expect.stringContaining("@record has to be") }],
    });
});

test.each([
  [{ id: "A" }, "id: has to be 1 to 63 of a-z, 0-9 and inner -"],
  [{ effect: "permit" }, "effect: has to be allow or deny"],
  [{ principals: [] }, "principals: is empty"],
  [
    { principals: ["*", "dev"] },
    "principals[1]: has to be *, token:NAME, agent:NAME, user:SUBJECT, role:NAME, team:NAME or tenant:NAME",
  ],
  [
    { actions: ["call"] },
    "actions[0]: has to be *, tools/list, tools/call, resources/list, resources/read, prompts/list, prompts/get, admin/* or an action of administration such as admin/policies/read",
  ],
  [{ resources: ["files"] }, "resources[0]: has to be *, group:ID or SERVER:NAME, for example files:read_*"],
  [{ resources: Array.from({ length: 257 }, () => "*") }, "resources: has more than 256 entries"],
  [
    { id: "", effect: "", actions: [] },
    "id: has to be 1 to 63 of a-z, 0-9 and inner -; effect: has to be allow or deny; actions: is empty",
  ],
  [{ effect: undefined, resources: undefined }, "effect: is missing; resources: is missing"],
  [{ conditions: "x" }, expect.stringMatching(/^conditions: .*object/)],
  [{ conditions: { enviroment: "x" } }, "conditions.enviroment: is not a known key"],
  [
    { conditions: { time: { from: "8:00" } } },
    'conditions.time.from: has to be a time of the day such as "08:00", in quotes',
  ],
  [{ conditions: { arguments: { path: { like: "a", max: 1 } } } }, /^conditions\.arguments\.path: has to have one of/],
  [{ actions: ["*", "admin/*"], resources: ["files:*"] }, /^resources: has to be "\*" alone/],
  [
    { actions: ["admin/tokens/read"], resources: ["*"], conditions: { environment: "production" } },
    /^conditions\.environment: does not go with actions of administration/,
  ],
  [{ record: ["everything"] }, "record[0]: has to be one of arguments, result"],
  [{ actions: ["admin/*"], resources: ["*"], record: "result" }, /^record: does not go with actions of administration/],
  [{ cedar: "permit(principal, action, resource);", record: [] }, /record: .*the annotation @record/],
  [{ cedar: "permit(principal, action, resource);" }, /^effect: does not go with "cedar".*; resources: does not go/],
])("%j is refused with its place", (part, reason) => {
  expect(mistakesIn({ ...GOOD, ...part })).toEqual(reason instanceof RegExp ? expect.stringMatching(reason) : reason);
});

test.each([
  ["permit(principal, action, resource", /^cedar:1:35: unexpected end of input/],
  ["permit(principal, action, resource)\n  when { resource.riks == 1 };", /^cedar:2:10: attribute `riks`.*not found/],
  ['// "é💥"\npermit(principal, action, resource) when { context.acr == 1 };', /^cedar:2:44: .*not compatible/],
  ['// "é💥" permit', /^cedar:1:\d+: unexpected end of input/],
  ["permit(principal == ?principal, action, resource);", /^cedar:1:21: expected a static policy/],
  ["permit(principal, action, resource); permit(principal, action, resource);", /^cedar:1:38: unexpected token/],
  ['forbid(principal in Person::"x", action, resource);', /^cedar:1:21: unrecognized entity type `Person`/],
])("the Cedar text %j is refused with its line and column", (cedar, reason) => {
  expect(mistakesIn({ id: "p", cedar })).toMatch(reason);
});

function mistakesIn(given: Parameters<typeof parsePolicy>[0]): string {
  const parsed = parsePolicy(given);
  return parsed.ok ? "" : describeMistakes(parsed.mistakes);
}

test("policies are the same when each part is", () => {
  const policy = policyOf();
  expect(samePolicy(policy, { ...policy, principals: ["*"] })).toBe(true);
  expect(samePolicy(policy, { ...policy, effect: "deny" })).toBe(false);
  expect(samePolicy(policy, { ...policy, conditions: { require_sandbox: true } })).toBe(false);
  expect(samePolicy(policy, { ...policy, principals: ["*", "*"] })).toBe(false);
  expect(samePolicy(policy, { ...policy, resources: ["files:x"] })).toBe(false);
  expect(samePolicy(policy, { ...policy, tenant: "acme" })).toBe(false);
  expect(samePolicy(policy, { ...policy, description: "x" })).toBe(false);
  expect(samePolicy(policy, { ...policy, cedarText: "x" })).toBe(false);
});

test.each([
  ["*", ["acme", "globex"]],
  ["role:r", ["acme", "globex"]],
  ["team:t", ["acme", "globex"]],
  ["tenant:acme", ["acme"]],
  ["token:dev", ["acme"]],
  ["token:nobody", []],
])("a policy for %s concerns %j", (principal, expected) => {
  const concerned = ["acme", "globex"].filter((tenant) =>
    concernsTenant(policyOf({ principals: [principal] }), tenant, (name) => (name === "dev" ? "acme" : undefined)),
  );
  expect(concerned).toEqual(expected);
});

test("a policy of a tenant concerns that one, and one in Cedar that has none everybody", () => {
  const concerns = (part: Parameters<typeof policyOf>[0]) => concernsTenant(policyOf(part), "acme", () => undefined);
  expect(concerns({ tenant: "acme", principals: ["token:nobody"] })).toBe(true);
  expect(concerns({ tenant: "globex" })).toBe(false);
  expect(concerns({ cedarText: "permit(principal, action, resource);", principals: [] })).toBe(true);
});
