import { expect, test } from "vitest";
import type { Check, SuiteRun } from "./suite.ts";
import { countChecks, countScenarios, scoredScenarios, shortfalls } from "./verdict.ts";

function run(scenarios: Record<string, readonly [string, Check["status"]][]>, unscored: string[] = []): SuiteRun {
  const entries = Object.entries(scenarios).map(
    ([name, checks]) => [name, checks.map(([id, status]) => ({ id, status }))] as const,
  );
  return { scenarios: new Map(entries), unscored: new Set(unscored), timedOut: false };
}

const direct = run(
  {
    ping: [["pong", "SUCCESS"]],
    tools: [
      ["list", "SUCCESS"],
      ["names", "WARNING"],
      ["log", "INFO"],
    ],
    tasks: [["create", "SUCCESS"]],
  },
  ["tasks"],
);

test("nothing is below what passes everywhere, or passes nowhere", () => {
  expect(shortfalls(direct, direct)).toEqual([]);
  expect(countChecks(direct)).toEqual({ passed: 3, total: 3 });
  expect(countScenarios(direct, scoredScenarios(direct))).toEqual({ passed: 2, total: 2 });
});

test("a failure, a warning and a check that is not there are below a success; scenarios that do not count do here", () => {
  const through = run({
    ping: [["pong", "WARNING"]],
    tools: [
      ["list", "SUCCESS"],
      ["list", "FAILURE"],
      ["names", "WARNING"],
    ],
  });
  expect(shortfalls(direct, through).map(({ check, status }) => [check, status])).toEqual([
    ["pong", "WARNING"],
    ["list", "FAILURE"],
    ["create", "MISSING"],
  ]);
  expect(countScenarios(through, scoredScenarios(direct))).toEqual({ passed: 1, total: 2 });
});
