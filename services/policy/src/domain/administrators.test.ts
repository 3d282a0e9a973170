import { expect, test } from "vitest";
import { policyOf, stateOf, tokenOf } from "../../test/sample-policies.ts";
import { hasAdministrator } from "./administrators.ts";
import type { WrittenPolicy } from "./policy.ts";
import type { TokenRecord } from "./token.ts";

const NOW = Date.UTC(2027, 0, 4, 12);
const ADMIN = tokenOf("admin", { permissions: ["mcp", "admin"], team: "ops" });
const DENY: Partial<WrittenPolicy> = { id: "deny", effect: "deny", actions: ["admin/*"] };
const ALLOW: Partial<WrittenPolicy> = { id: "allow", actions: ["admin/policies/write"] };

test.each<[string, TokenRecord[], Partial<WrittenPolicy>[], boolean]>([
  ["nobody is there", [], [], false],
  ["a token has the permission", [tokenOf("dev"), ADMIN], [], true],
  ["the token has expired", [{ ...ADMIN, expiresAtMs: NOW }], [], false],
  ["the token was revoked", [{ ...ADMIN, revokedAtMs: NOW - 1 }], [], false],
  ["no token has the permission", [tokenOf("dev")], [], false],
  ["a policy for everything of MCP is none of administration", [tokenOf("dev")], [{}], false],
  ["a policy allows it", [tokenOf("dev")], [ALLOW], true],
  ["a policy allows it to others", [tokenOf("dev")], [{ ...ALLOW, principals: ["role:none"] }], false],
  ["a policy allows it to another tenant", [tokenOf("dev")], [{ ...ALLOW, tenant: "globex" }], false],
  ["a policy denies all of it", [ADMIN], [DENY], false],
  ["a policy denies it to others", [ADMIN], [{ ...DENY, principals: ["team:sales"] }], true],
  [
    "one token is denied, another not",
    [ADMIN, { ...ADMIN, name: "b", team: "x" }],
    [{ ...DENY, principals: ["team:x"] }],
    true,
  ],
  ["a policy denies reading only", [ADMIN], [{ ...DENY, actions: ["admin/policies/read"] }], true],
  ["from a network only: nobody may be there", [ADMIN], [{ ...DENY, conditions: { network: ["10.0.0.0/8"] } }], false],
  ["to those only who have signed in twice", [ADMIN], [{ ...DENY, conditions: { mfa: true } }], false],
  [
    "Cedar forbids it",
    [ADMIN],
    [{ id: "c", effect: "deny", cedarText: "forbid(principal, action, resource);" }],
    false,
  ],
  [
    "Cedar permits it",
    [tokenOf("dev")],
    [{ id: "c", cedarText: 'permit(principal, action in Action::"admin", resource);' }],
    true,
  ],
])("%s", (_name, tokens, policies, expected) => {
  const state = stateOf(policies.map(policyOf), tokens);
  expect(hasAdministrator(state, NOW)).toBe(expected);
  state.engine.dispose();
});
