import { AppError } from "@tollgate/errors";
import { expect, test } from "vitest";
import { loadDesiredState } from "./load.ts";

const load = (text: string) => loadDesiredState(text, { file: "/etc/tollgate.yaml", env: { WEIGHT: "7" } });

function mistakesOf(text: string): string[] {
  try {
    load(text);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "invalid_argument") throw error;
    return error.message
      .split("\n  ")
      .slice(1)
      .map((line) => line.replace("/etc/tollgate.yaml:", ""));
  }
  return [];
}

const PLAIN = { lane: "standard", weight: 1, maxConcurrent: 0, maxWaiting: 0 };

test.each(["groups: []", "plans: []\ntenants:\n"])("%j: all tenants are alike", (text) => {
  expect(load(text).tenants).toEqual([{ id: "", plan: "default", ...PLAIN }]);
});

test("tenants have what their plans give, in their order, behind the one that stands for all others", () => {
  const gold = "{ name: gold, lane: interactive, weight: '${WEIGHT}', max_concurrent: 64, max_waiting: 8 }";
  const text = `plans: [${gold}, { name: bulk, lane: batch }]
tenants: [{ id: nightly, plan: bulk }, { id: acme, plan: gold }, { id: default }]`;
  expect(load(text).tenants).toEqual([
    { id: "", plan: "default", ...PLAIN },
    { id: "nightly", plan: "bulk", ...PLAIN, lane: "batch" },
    { id: "acme", plan: "gold", lane: "interactive", weight: 7, maxConcurrent: 64, maxWaiting: 8 },
    { id: "default", plan: "default", ...PLAIN },
  ]);
});

test("the plan named default is that of whoever is not listed, or listed without one", () => {
  const text = "plans: [{ name: default, weight: 3, max_concurrent: 10 }]\ntenants: [{ id: acme }]";
  const own = { plan: "default", ...PLAIN, weight: 3, maxConcurrent: 10 };
  expect(load(text).tenants).toEqual([
    { id: "", ...own },
    { id: "acme", ...own },
  ]);
});

test.each<[string, unknown[]]>([
  [
    "plans: [{ name: gold }]\ntenants: [{ id: acme, plan: golden }]",
    ["2:29: tenants[0].plan is not the name of a plan; there are default, gold"],
  ],
  ["tenants: [{ id: a, plan: gold }]", ["1:26: tenants[0].plan is not the name of a plan; there are default"]],
  ["plans: [{ name: a }, { name: a }]", ["1:30: plans[1].name is the name of another plan already"]],
  ["tenants: [{ id: a }, { id: a }]", ["1:28: tenants[1].id is the id of another tenant already"]],
  ["plans: [{ lane: batch }]", ["1:9: plans[0].name is missing"]],
  ["plans: [{ name: Gold }]", ["1:17: plans[0].name has to be 1 to 63 of a-z, 0-9 and inner -"]],
  ["tenants: [{ id: '' }]", ["1:17: tenants[0].id has to be 1 to 63 of a-z, 0-9 and inner -"]],
  [
    "plans: [{ name: a, lane: fast }]",
    [expect.stringMatching(/plans\[0\]\.lane .*"interactive"\|"standard"\|"batch"$/)],
  ],
  ["plans: [{ name: a, weight: 101 }]", [expect.stringMatching(/plans\[0\]\.weight .*<=100$/)]],
  ["plans: [{ name: a, weight: 0 }]", [expect.stringMatching(/plans\[0\]\.weight .*>=1$/)]],
  // 0 means the gateway's own limit to those who read it.
  ["plans: [{ name: a, max_concurrent: 0 }]", [expect.stringMatching(/plans\[0\]\.max_concurrent .*>0$/)]],
  ["plans: [{ name: a, max_waiting: 0 }]", [expect.stringMatching(/plans\[0\]\.max_waiting .*>0$/)]],
  ["plans: [{ name: a, priority: 1 }]", [expect.stringMatching(/plans\[0\]\.priority is not a known key; known are/)]],
  ["tenants: [{ id: a, plans: b }]", ['1:20: tenants[0].plans is not a known key; is "plan" meant?']],
])("%j is a mistake", (text, expected) => {
  expect(mistakesOf(text)).toEqual(expected);
});
