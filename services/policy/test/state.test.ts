import fc from "fast-check";
import { expect, test } from "vitest";
import { buildState, type PolicyState } from "../src/domain/state.ts";
import { hashToken } from "../src/domain/token.ts";
import { policyOf, stateOf, tokenOf } from "./sample-policies.ts";

// Some tokens and policies are read anew after a change, the others are kept: that must be no other state than the one
// that is read as a whole.

const names = ["a", "b", "c", "d"];
const tokens = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...names), fc.integer({ min: 0, max: 9 })), { selector: ([name]) => name })
  .map((all) => all.map(([name, n]) => tokenOf(name, { sha256: hashToken(`${name}-${n}`), team: `team-${n}` })));
const policies = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...names), fc.integer({ min: 1, max: 3 })), { selector: ([id]) => id })
  .map((all) => all.map(([id, version]) => ({ ...policyOf({ id, resources: [`files:read_${version}`] }), version })));

function shown(state: PolicyState) {
  return {
    tokens: new Set([...state.tokens.byName.values()].map(({ name, team }) => `${name} ${team}`)),
    secrets: names.map((name) => Array.from({ length: 10 }, (_, n) => state.tokens.find(`${name}-${n}`)?.token.team)),
    policies: state.policies.map(({ id, version, cedar }) => ({ id, version, cedar })),
  };
}

test("what is read in part is the same as what is read as a whole", () => {
  fc.assert(
    fc.property(tokens, tokens, policies, policies, (tokensBefore, tokensAfter, policiesBefore, policiesAfter) => {
      const byId = policiesAfter.toSorted((one, other) => (one.id < other.id ? -1 : 1));
      const before = stateOf(policiesBefore, tokensBefore);
      const whole = stateOf(byId, tokensAfter);
      const inPart = buildState(
        2,
        { someTokens: { names, records: tokensAfter }, somePolicies: { ids: names, records: policiesAfter } },
        before,
      );
      expect(shown(inPart)).toEqual(shown(whole));
      for (const { engine } of [before, whole, inPart]) engine.dispose();
    }),
    { numRuns: 40 },
  );
});

test("what is not named stays as it is", () => {
  const before = stateOf([policyOf({ id: "a" }), policyOf({ id: "b" })], [tokenOf("a", {}), tokenOf("b", {})]);
  const after = buildState(
    2,
    { someTokens: { names: ["b"], records: [] }, somePolicies: { ids: ["b"], records: [] } },
    before,
  );
  expect([...after.tokens.byName.values()]).toEqual([before.tokens.byName.get("a")]);
  expect(after.policies[0]).toBe(before.policies[0]);
  expect(after.policies).toHaveLength(1);
});
