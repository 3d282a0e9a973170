import { DEFAULT_RISK_LEVELS } from "@tollgate/desired-state";
import { expect, test } from "vitest";
import { recorder } from "./recordings.ts";

const { levels } = DEFAULT_RISK_LEVELS;
const riskLevels = {
  ...DEFAULT_RISK_LEVELS,
  levels: { ...levels, HIGH: { ...levels.HIGH, record: ["arguments"] as const } },
};
const policies = [
  { id: "plain", record: [] },
  { id: "both", record: ["arguments", "result"] as const },
  { id: "results", record: ["result"] as const },
];
const recordOf = recorder({ policies, settings: { riskLevels } });

test.each<[string, string[], string, string[]]>([
  ["nobody asks", ["plain"], "LOW", []],
  ["no policy decided, as with OPA alone", ["opa", "gone"], "", []],
  ["a policy that did not decide asks", ["plain"], "MEDIUM", []],
  ["one that decided asks", ["results", "plain"], "LOW", ["result"]],
  ["the risk asks", ["plain"], "HIGH", ["arguments"]],
  ["each asks for something", ["results"], "HIGH", ["arguments", "result"]],
  ["several ask", ["results", "both"], "LOW", ["arguments", "result"]],
])("%s", (_name, ids, risk, expected) => {
  expect(recordOf(ids, risk)).toEqual(expected);
});

test("levels that were kept before they knew of recordings ask for nothing", () => {
  const { record: _record, ...older } = levels.HIGH;
  const settings = { riskLevels: { ...riskLevels, levels: { ...levels, HIGH: older as typeof levels.HIGH } } };
  expect(recorder({ policies, settings })(["plain"], "HIGH")).toEqual([]);
});
