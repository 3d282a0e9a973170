import { AppError } from "@tollgate/errors";
import { expect, test } from "vitest";
import { loadDesiredState } from "./load.ts";

const load = (text: string) => loadDesiredState(text, { file: "/etc/tollgate.yaml", env: { RATE: "7.5" } }).limits;

function mistakesOf(text: string): string[] {
  try {
    load(text);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "invalid_argument") throw error;
    return error.message
      .split("\n  ")
      .slice(1)
      .map((line) => line.replace(/^\/etc\/tollgate\.yaml:\d+:\d+: /, ""));
  }
  return [];
}

test.each(["groups: []", "limits:", "limits: []"])("%j: there are none", (text) => {
  expect(load(text)).toEqual([]);
});

test("a limit of every kind", () => {
  const text = `limits:
  - name: callers
    description: what one may do
    per: [tool, principal, tool]
    match: { tenant: acme, role: [dev, ops], server: "pg-*", tool: ["write_*"], risk: HIGH }
    requests_per_second: \${RATE}
    concurrent: 5
    per_day: 0
    timezone: Europe/Berlin
  - { name: money, per: team, budget: { amount: 12.5, period: month } }
  - { name: fast, per: installation, requests_per_second: 100, burst: 10 }`;
  expect(load(text)).toEqual([
    {
      name: "callers",
      description: "what one may do",
      per: ["principal", "tool"],
      match: { tenant: ["acme"], role: ["dev", "ops"], server: ["pg-*"], tool: ["write_*"], risk: ["HIGH"] },
      rate: { perSecond: 7.5, burst: 8 },
      concurrent: 5,
      perDay: 0,
      timezone: "Europe/Berlin",
    },
    {
      name: "money",
      description: "",
      per: ["team"],
      match: {},
      budget: { amount: "12.5", period: "month" },
      timezone: "UTC",
    },
    {
      name: "fast",
      description: "",
      per: ["installation"],
      match: {},
      rate: { perSecond: 100, burst: 10 },
      timezone: "UTC",
    },
  ]);
});

test.each<[string, RegExp]>([
  ["{ name: a, per: tenant }", /^limits\[0\] limits nothing: it needs requests_per_second, concurrent, per_day/],
  ["{ name: a, per: [], concurrent: 1 }", /^limits\[0\]\.per is empty/],
  ["{ name: a, concurrent: 1 }", /^limits\[0\]\.per is missing/],
  ["{ name: a, per: planet, concurrent: 1 }", /^limits\[0\]\.per\[0\] has to be one of installation, tenant/],
  ["{ name: a, per: [installation, tool], concurrent: 1 }", /^limits\[0\]\.per has installation, which stands alone/],
  ["{ name: a, per: tenant, concurrent: 0 }", /^limits\[0\]\.concurrent .*>=1/],
  ["{ name: a, per: tenant, per_day: 1.5 }", /^limits\[0\]\.per_day has to be int/],
  ["{ name: a, per: tenant, requests_per_second: 0 }", /^limits\[0\]\.requests_per_second .*>0/],
  ["{ name: a, per: tenant, concurrent: 1, burst: 1 }", /^limits\[0\]\.burst goes with requests_per_second only/],
  ["{ name: a, per: tenant, requests_per_second: 100, burst: 9 }", /^limits\[0\]\.burst has to be a tenth/],
  ["{ name: a, per: tenant, concurrent: 1, timezone: UTC }", /^limits\[0\]\.timezone goes with per_day and budget/],
  ["{ name: a, per: tenant, per_day: 1, timezone: Mars/Crater }", /^limits\[0\]\.timezone has to be a time zone/],
  ["{ name: a, per: tenant, budget: { amount: -1, period: day } }", /^limits\[0\]\.budget\.amount has to be an amount/],
  ["{ name: a, per: tenant, budget: { amount: 1, period: year } }", /^limits\[0\]\.budget\.period has to be day or/],
  [
    "{ name: a, per: tenant, match: { risk: LOW }, budget: { amount: 1, period: day } }",
    /^limits\[0\]\.match\.risk does not go with budget/,
  ],
  ["{ name: a, per: token, budget: { amount: 1, period: day } }", /^limits\[0\]\.per has token, which does not go/],
  ["{ name: a, per: tenant, concurrent: 1, mach: {} }", /^limits\[0\]\.mach is not a known key; is "match" meant/],
  ["{ name: a, per: tenant, concurrent: 1, match: { tools: x } }", /^limits\[0\]\.match\.tools .* is "tool" meant/],
  ["{ name: a, per: tenant, concurrent: 1 }, { name: a, per: tool, concurrent: 1 }", /is the name of another limit/],
])("%s is a mistake", (entries, expected) => {
  expect(mistakesOf(`limits: [${entries}]`)).toEqual([expect.stringMatching(expected)]);
});
