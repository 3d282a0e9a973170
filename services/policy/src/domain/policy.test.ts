import { expect, test } from "vitest";
import { concernsTenant, parsePolicy, samePolicy } from "./policy.ts";

const GOOD = {
  id: "p",
  effect: "allow",
  principals: ["*"],
  actions: ["tools/call"],
  resources: ["files:*"],
  requireSandbox: false,
};

test("a good policy is taken, without what else it came with", () => {
  expect(parsePolicy({ ...GOOD, source: "file" } as typeof GOOD)).toEqual({ ok: true, value: GOOD });
  const strict = { ...GOOD, requireSandbox: true };
  expect(parsePolicy(strict)).toEqual({ ok: true, value: strict });
});

test.each([
  [{ id: "A" }, "id: has to be 1 to 63 of a-z, 0-9 and inner -"],
  [{ effect: "permit" }, "effect: has to be allow or deny"],
  [{ principals: [] }, "principals: is empty"],
  [
    { principals: ["*", "dev"] },
    "principals[1]: has to be *, token:NAME, user:SUBJECT, role:NAME, team:NAME or tenant:NAME",
  ],
  [
    { actions: ["call"] },
    "actions[0]: has to be *, tools/list, tools/call, resources/list, resources/read, prompts/list or prompts/get",
  ],
  [{ resources: ["files"] }, "resources[0]: has to be *, group:ID or SERVER:NAME, for example files:read_*"],
  [{ resources: Array.from({ length: 257 }, () => "*") }, "resources: has more than 256 entries"],
  [
    { id: "", effect: "", actions: [] },
    "id: has to be 1 to 63 of a-z, 0-9 and inner -; effect: has to be allow or deny; actions: is empty",
  ],
])("%j is refused with its place", (part, reason) => {
  expect(parsePolicy({ ...GOOD, ...part })).toEqual({ ok: false, reason });
});

test("policies are the same when each part is", () => {
  const policy = { ...GOOD, effect: "allow" as const };
  expect(samePolicy(policy, { ...policy, principals: ["*"] })).toBe(true);
  expect(samePolicy(policy, { ...policy, effect: "deny" })).toBe(false);
  expect(samePolicy(policy, { ...policy, requireSandbox: true })).toBe(false);
  expect(samePolicy(policy, { ...policy, principals: ["*", "*"] })).toBe(false);
  expect(samePolicy(policy, { ...policy, resources: ["files:x"] })).toBe(false);
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
    concernsTenant({ principals: [principal] }, tenant, (name) => (name === "dev" ? "acme" : undefined)),
  );
  expect(concerned).toEqual(expected);
});
