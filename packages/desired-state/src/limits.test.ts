import { AppError } from "@tollgate/errors";
import { expect, test } from "vitest";
import { fillSecrets } from "./budgets.ts";
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
      budget: { amount: "12.5", period: "month", thresholds: [50, 80, 100] },
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

const HOOK = `https://hooks.example.com/a?b=\${secret:webhook-path}`;
const withHook = (webhook: string, rest = "") =>
  `limits: [{ name: m, per: team, budget: { amount: 1, period: day${rest}, webhook: ${webhook} } }]`;

test("a budget's thresholds rise, each once, and its webhook stays as it is written", () => {
  const webhook = `{ url: "${HOOK}", secret: "\${secret:webhook-key}", headers: { X-Key: "$\${x}" } }`;
  expect(load(withHook(webhook, ", thresholds: [90, 10, 90, 150]"))[0]!.budget).toEqual({
    amount: "1",
    period: "day",
    thresholds: [10, 90, 150],
    webhook: { url: HOOK, secret: "${secret:webhook-key}", headers: { "X-Key": "$${x}" } },
  });
  expect(load(withHook(`{ url: "\${secret:webhook-url}" }`))[0]!.budget!.webhook).toEqual({
    url: "${secret:webhook-url}",
    headers: {},
  });
  expect(load("limits: [{ name: m, per: team, budget: { amount: 1, period: day, thresholds: [] } }]")).toMatchObject([
    { budget: { thresholds: [] } },
  ]);
});

test.each<[string, RegExp]>([
  ["{ url: ftp://a }", /^limits\[0\]\.budget\.webhook\.url has to be an http or https URL/],
  ["{ url: nonsense }", /^limits\[0\]\.budget\.webhook\.url has to be an http or https URL/],
  ["{ headers: {} }", /^limits\[0\]\.budget\.webhook\.url is missing/],
  ['{ url: "http://a/${RATE}" }', /^limits\[0\]\.budget\.webhook\.url has a \$\{ that is no \$\{secret:webhook-NAME\}/],
  ['{ url: "http://a", secret: "${secret:database}" }', /^limits\[0\]\.budget\.webhook\.secret has a \$\{/],
  ['{ url: "http://a", headers: { A: "${TOLLGATE_SERVICE_KEY}" } }', /^limits\[0\]\.budget\.webhook\.headers\.A has a/],
  ['{ url: "http://a", headers: { "A B": x } }', /is not the name of a header/],
  ['{ url: "http://a", headers: { Content-Length: "1" } }', /is a header that is set here/],
  ['{ url: "http://a", headers: { A: "x\\ny" } }', /has a line break/],
  ['{ url: "http://a", retries: 5 }', /^limits\[0\]\.budget\.webhook\.retries is not a known key/],
])("the webhook %s is a mistake", (webhook, expected) => {
  expect(mistakesOf(withHook(webhook))).toEqual([expect.stringMatching(expected)]);
});

test.each(["[0]", "[1001]", "[1.5]", "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]", "50"])(
  "thresholds %s are a mistake",
  (given) => {
    const text = `limits: [{ name: m, per: team, budget: { amount: 1, period: day, thresholds: ${given} } }]`;
    expect(mistakesOf(text)).toEqual([expect.stringMatching(/^limits\[0\]\.budget\.thresholds/)]);
  },
);

test("a secret that is referred to is filled in, or what is missing is said", () => {
  const readSecret = (name: string) =>
    name === "webhook-a" ? ({ ok: true, value: "A" } as const) : ({ ok: false, reason: "needs it" } as const);
  expect(fillSecrets("x ${secret:webhook-a} $${y}", readSecret)).toEqual({ ok: true, value: "x A ${y}" });
  expect(fillSecrets("${secret:webhook-b}", readSecret)).toEqual({ ok: false, reason: "needs it" });
});
