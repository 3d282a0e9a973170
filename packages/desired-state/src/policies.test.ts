import { AppError } from "@tollgate/errors";
import { describe, expect, test } from "vitest";
import { loadDesiredState } from "./load.ts";

const load = (text: string) => loadDesiredState(text, { file: "/etc/tollgate.yaml", env: { AGE: "600" } });
const SHORT = 'effect: allow, principals: ["*"], actions: ["*"], resources: ["*"]';
const policyWith = (rest: string, parts = SHORT) => load(`policies: [{ name: p, ${parts}${rest} }]`).policies[0]!;
const conditions = (text: string) => policyWith(`, conditions: { ${text} }`).conditions;

/** The first mistake, without its place in the file. */
function mistakeIn(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "invalid_argument") throw error;
    return error.message.split("\n  ")[1]!.replace(/^\S+ /, "");
  }
  return "";
}

describe("conditions", () => {
  test.each<[string, unknown]>([
    ["", {}],
    ["mfa: false, require_sandbox: false", {}],
    ["mfa: 'true', require_sandbox: true", { mfa: true, require_sandbox: true }],
    ["environment: production", { environment: ["production"] }],
    ["environment: [staging, production]", { environment: ["staging", "production"] }],
    ["time: { from: '08:00' }", { time: { from: "08:00", to: "24:00", timezone: "UTC" } }],
    [
      "time: { from: '22:00', to: '06:00', timezone: America/New_York }",
      { time: { from: "22:00", to: "06:00", timezone: "America/New_York" } },
    ],
    ["weekdays: [fri, mon, fri]", { weekdays: ["mon", "fri"] }],
    ["weekdays: sat", { weekdays: ["sat"] }],
    ["network: 10.0.0.0/8", { network: ["10.0.0.0/8"] }],
    [
      'network: ["192.0.2.1", "2001:db8::/32", "::1/128", "0.0.0.0/0"]',
      { network: ["192.0.2.1", "2001:db8::/32", "::1/128", "0.0.0.0/0"] },
    ],
    ["risk: [HIGH, CRITICAL]", { risk: ["HIGH", "CRITICAL"] }],
    ["acr: gold, max_sign_in_age: '${AGE}'", { acr: ["gold"], max_sign_in_age: 600 }],
    [
      "arguments: { path: { like: '/data/*' }, n: { min: 1, max: 2.5 }, m: { in: [1, 2] }, s: { in: [a] }, o.f: { is: false } }",
      {
        arguments: {
          path: { like: "/data/*" },
          n: { min: 1, max: 2.5 },
          m: { in: [1, 2] },
          s: { in: ["a"] },
          "o.f": { is: false },
        },
      },
    ],
  ])("%s", (text, expected) => {
    expect(conditions(text)).toEqual(expected);
  });

  test.each<[string, string | RegExp]>([
    ["enviroment: x", 'policies[0].conditions.enviroment is not a known key; is "environment" meant?'],
    ["environment: Prod", "policies[0].conditions.environment[0] has to be 1 to 63 of a-z, 0-9 and inner -"],
    ["environment: []", "policies[0].conditions.environment is empty"],
    [
      "time: { from: '8:00' }",
      'policies[0].conditions.time.from has to be a time of the day such as "08:00", in quotes',
    ],
    ["time: { from: '24:00' }", /time\.from has to be a time of the day/],
    ["time: { to: '24:01' }", /time\.to has to be a time of the day/],
    ["time: { from: '08:00', to: '08:00' }", /time\.to is the same as "from"/],
    ["time: { timezone: Europe/Nowhere }", /time\.timezone has to be the name of a time zone/],
    ["time: { timezone: '+02:00' }", /time\.timezone has to be the name of a time zone/],
    ["time: { until: '08:00' }", "policies[0].conditions.time.until is not a known key; known are from, to, timezone"],
    ["weekdays: [Mon]", /weekdays\[0\] has to be one of sun, mon/],
    ["network: 10.0.0.0/33", /network\[0\] has to be an address or a network/],
    ["network: 10.0.0/8", /network\[0\] has to be/],
    ["network: example.com", /network\[0\] has to be/],
    ["network: '::ffff:10.0.0.1'", /network\[0\] has to be/],
    ["network: 'fe80::1%eth0'", /network\[0\] has to be/],
    ["network: 10.0.0.0/08", /network\[0\] has to be/],
    ["risk: low", /risk\[0\] has to be one of LOW, MEDIUM, HIGH, CRITICAL/],
    ["mfa: maybe", /mfa has to be boolean/],
    ["max_sign_in_age: 0", /max_sign_in_age/],
    ["environment: 5", /environment has to be array/],
    ["acr: ['']", /acr\[0\] is empty/],
    ["arguments: {}", "policies[0].conditions.arguments is empty"],
    ["arguments: { path: {} }", /arguments\.path has to have one of/],
    ["arguments: { path: { is: a, like: b } }", /arguments\.path has to have one of/],
    ["arguments: { path: { is: a, max: 1 } }", /arguments\.path has to have one of/],
    [
      "arguments: { path: { lik: a } }",
      'policies[0].conditions.arguments.path.lik is not a known key; is "like" meant?',
    ],
    ["arguments: { path: { is: [a] } }", /arguments\.path\.is has to be a text, a number, true or false/],
    ["arguments: { n: { in: [a, 1] } }", /arguments\.n\.in has to be a list of texts or of numbers/],
    ["arguments: { n: { max: 0.00001 } }", /arguments\.n\.max has more than 4 decimal places/],
    ["arguments: { n: { is: 1e20 } }", /arguments\.n\.is has to be/],
  ])("%s is a mistake", (text, expected) => {
    const mistake = mistakeIn(() => conditions(text));
    if (typeof expected === "string") expect(mistake).toBe(expected);
    else expect(mistake).toMatch(expected);
  });
});

test("a policy may be written in Cedar, whose text is checked elsewhere", () => {
  expect(policyWith("", "tenant: acme, description: why, cedar: 'permit(…'")).toMatchObject({
    name: "p",
    tenant: "acme",
    description: "why",
    principals: [],
    actions: [],
    resources: [],
    conditions: {},
    record: [],
    cedarText: "permit(…",
  });
});

test.each<[string, string]>([
  ["cedar: ''", "policies[0].cedar is empty"],
  [`${SHORT}, cedar: x`, 'policies[0].effect does not go with "cedar", which says all of it'],
  ["cedar: x, conditions: { mfa: true }", 'policies[0].conditions does not go with "cedar", which says all of it'],
  ["effect: deny", "policies[0].principals is missing"],
  [`${SHORT}, tenant: Acme`, "policies[0].tenant has to be 1 to 63 of a-z, 0-9 and inner -"],
  [
    SHORT.replace('actions: ["*"], resources: ["*"]', 'actions: ["admin/*"], resources: ["a:*"]'),
    'policies[0].resources has to be "*" alone: actions of administration are on no server',
  ],
  [
    `${SHORT.replace('actions: ["*"]', 'actions: ["admin/tokens/read"]')}, conditions: { arguments: { a: { is: b } } }`,
    "policies[0].conditions.arguments does not go with actions of administration, which are on no server",
  ],
])("%s is a mistake", (parts, expected) => {
  expect(mistakeIn(() => policyWith("", parts))).toBe(expected);
});

test("administration goes with what is known of anybody", () => {
  const parts = SHORT.replace('actions: ["*"]', 'actions: ["admin/*"]');
  expect(policyWith(", conditions: { network: 10.0.0.0/8, mfa: true, weekdays: mon }", parts).actions).toEqual([
    "admin/*",
  ]);
});
