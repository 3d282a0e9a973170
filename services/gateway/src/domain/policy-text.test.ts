import { expect, test } from "vitest";
import { changedFields, type PolicyParts, policyYaml } from "./policy-text.ts";

const POLICY: PolicyParts = {
  id: "office-hours",
  description: "",
  tenant: "acme",
  effect: "allow",
  principals: ["role:developer", "user:x|y"],
  actions: ["tools/call"],
  resources: ["files:read_*"],
  conditions: { time: { from: "08:00", to: "18:00" }, weekdays: ["mon", "tue"], arguments: { "a.b": { is: true } } },
  record: [],
  isCedar: false,
  cedar: "permit (principal, action, resource);",
};

test("a policy reads as an entry of tollgate.yaml", () => {
  expect(policyYaml(POLICY)).toBe(`name: office-hours
tenant: "acme"
effect: "allow"
principals:
  - "role:developer"
  - "user:x|y"
actions:
  - "tools/call"
resources:
  - "files:read_*"
conditions:
  time:
    from: "08:00"
    to: "18:00"
  weekdays: ["mon","tue"]
  arguments:
    "a.b":
      is: true
`);
});

test("one that is written in Cedar shows its text", () => {
  const cedar = "permit (\n  principal, action, resource\n);";
  const written = { ...POLICY, description: "said: so", isCedar: true, cedar, conditions: {}, tenant: "" };
  expect(policyYaml(written)).toBe(`name: office-hours
description: "said: so"
cedar: |
  permit (
    principal, action, resource
  );
`);
});

test("what has changed is named field by field", () => {
  const after = { ...POLICY, effect: "deny", tenant: "", cedar: "forbid (principal, action, resource);" };
  expect(changedFields(POLICY, after)).toEqual([
    { field: "tenant", from: "acme", to: null },
    { field: "effect", from: "allow", to: "deny" },
  ]);
  expect(changedFields(POLICY, POLICY)).toEqual([]);
  expect(changedFields(undefined, POLICY).map(({ field }) => field)).toEqual([
    "tenant",
    "effect",
    "principals",
    "actions",
    "resources",
    "conditions",
  ]);
});
