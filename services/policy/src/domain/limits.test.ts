import type { DesiredLimit } from "@tollgate/desired-state";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { budgetKeyOf, describeLimit, fitsGlob, indexLimits, limitOfKey, meteredBy } from "./limits.ts";
import { createPeriods, periodOf } from "./periods.ts";

const limitOf = (part: Partial<DesiredLimit>) => ({
  name: "l",
  description: "",
  per: ["tenant" as const],
  match: {},
  concurrent: 1,
  timezone: "UTC",
  source: "api" as const,
  updatedAtMs: 0,
  updatedBy: "test",
  ...part,
});
const dev = { id: "dev", tenant: "acme", team: "pay", roles: ["writer"], credential: "dev" };
const query = { group: "db", server: "pg", tool: "query", risk: "LOW" };
const keys = (part: Partial<DesiredLimit>, caller = dev, action = "tools/call", call = query) =>
  indexLimits([limitOf(part)]).keysOf(caller, action, call);

describe("the keys of a call", () => {
  test.each<[Partial<DesiredLimit>, string[]]>([
    [{ per: ["installation"] }, ["slot|l|"]],
    [{ per: ["tenant"] }, ["slot|l|acme"]],
    [{ per: ["team"] }, ["slot|l|acme%2Fpay"]],
    [{ per: ["principal", "tool"] }, ["slot|l|acme%2Fdev|pg%3Aquery"]],
    [{ per: ["token"] }, ["slot|l|acme%2Fdev"]],
    [{ per: ["user"] }, []],
    [{ per: ["agent"] }, []],
    [{ rate: { perSecond: 1, burst: 1 }, perDay: 5 }, ["rate|l|acme", "slot|l|acme", "day|l|acme"]],
    [{ match: { tenant: ["acme"], role: ["reader", "writer"], server: ["p*"], tool: ["*ry"] } }, ["slot|l|acme"]],
    [{ match: { tenant: ["rival"] } }, []],
    [{ match: { role: ["reader"] } }, []],
    [{ match: { server: ["p"] } }, []],
    [{ match: { risk: ["HIGH"] } }, []],
    [{ match: { risk: ["LOW"], group: ["db"], team: ["pay"], principal: ["dev"] } }, ["slot|l|acme"]],
  ])("%j: %j", (part, expected) => {
    expect(keys(part)).toEqual(expected);
  });

  test("those of users and agents", () => {
    expect(keys({ per: ["user"] }, { ...dev, id: "user:ann", credential: "https://idp" })).toEqual([
      "slot|l|acme%2Fuser%3Aann",
    ]);
    expect(keys({ per: ["token"] }, { ...dev, id: "user:ann" })).toEqual([]);
    expect(keys({ per: ["agent"] }, { ...dev, id: "agent:bot" })).toEqual(["slot|l|acme%2Fagent%3Abot"]);
    expect(keys({ per: ["token"] }, { ...dev, id: "agent:bot", credential: "bot-1" })).toEqual(["slot|l|acme%2Fbot-1"]);
  });

  test("lists count against nothing, and what is no tool not against limits of tools", () => {
    expect(keys({}, dev, "tools/list")).toEqual([]);
    expect(keys({}, dev, "resources/read")).toEqual(["slot|l|acme"]);
    expect(keys({ per: ["tool"] }, dev, "resources/read")).toEqual([]);
    expect(keys({ match: { tool: ["*"] } }, dev, "prompts/get")).toEqual([]);
  });

  test("are short and never the same for two callers, whatever they are called", () => {
    const name = fc.string({ unit: "binary", maxLength: 300 });
    fc.assert(
      fc.property(name, name, name, name, (a, b, c, d) => {
        const per = ["principal", "tool"] as const;
        const [one] = keys({ per }, { ...dev, id: a }, "tools/call", { ...query, tool: b });
        const [other] = keys({ per }, { ...dev, id: c }, "tools/call", { ...query, tool: d });
        expect(one!.length).toBeLessThan(250);
        const isSame = a.toWellFormed() === c.toWellFormed() && b.toWellFormed() === d.toWellFormed();
        expect(one === other).toBe(isSame);
      }),
    );
  });

  test("dangerous tools have a limit where none says otherwise", () => {
    const risky = { ...query, risk: "HIGH" };
    const standard = "rate|default-for-risk|acme%2Fdev|pg%3Aquery";
    expect(indexLimits([]).keysOf(dev, "tools/call", risky)).toEqual([standard]);
    expect(indexLimits([]).keysOf(dev, "tools/call", query)).toEqual([]);
    expect(indexLimits([]).keysOf(dev, "tools/call", { ...query, risk: "" })).toEqual([]);
    expect(indexLimits([]).keysOf(dev, "resources/read", risky)).toEqual([]);
    const rate = { perSecond: 99, burst: 99 };
    expect(keys({ rate, match: { risk: ["HIGH"] } }, dev, "tools/call", risky)).not.toContain(standard);
    // Neither a limit without a rate, nor of other risks, nor of others.
    for (const part of [
      { match: { risk: ["HIGH" as const] } },
      { rate, match: { risk: ["MEDIUM" as const] } },
      { rate },
    ])
      expect(keys(part, dev, "tools/call", risky)).toContain(standard);
  });
});

test("a key names its limit, as long as there is one of that kind", () => {
  const index = indexLimits([limitOf({ perDay: 3 })]);
  expect(limitOfKey(index, "day|l|acme")).toMatchObject({ kind: "day", limit: { perDay: 3 } });
  for (const key of ["rate|l|acme", "day|m|acme", "year|l|acme", "", "day", "__proto__|l|x"])
    expect(limitOfKey(index, key)).toBeUndefined();
});

test("a budget's key is found from a row of the meter", () => {
  const budget = { amount: "1", period: "day", thresholds: [] } as const;
  const limit = limitOf({ per: ["agent"], match: { server: ["p*"] }, budget });
  expect(meteredBy(limit)).toEqual(["principal", "server", "tenant"]);
  const row = { tenant: "acme", principal: "agent:bot", server: "pg" };
  const asked = keys({ per: ["agent"], budget }, { ...dev, id: "agent:bot" });
  expect(budgetKeyOf(limit, row)).toBe(asked.find((key) => key.startsWith("budget|")));
  expect(budgetKeyOf(limit, { ...row, server: "files" })).toBeUndefined();
  expect(budgetKeyOf(limit, { ...row, principal: "dev" })).toBeUndefined();
});

test("globs", () => {
  const pattern = fc.string({ unit: fc.constantFrom("a", "b", "*"), maxLength: 8 });
  fc.assert(
    fc.property(pattern, fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 8 }), (glob, text) => {
      expect(fitsGlob(glob, text)).toBe(new RegExp(`^${glob.replaceAll("*", ".*")}$`).test(text));
    }),
    { numRuns: 2_000 },
  );
});

test("a limit in words", () => {
  expect(describeLimit("rate", limitOf({ per: ["principal", "tool"], rate: { perSecond: 0.5, burst: 1 } }))).toBe(
    'the limit "l" is reached: 0.5 requests per second for each principal and tool',
  );
  expect(describeLimit("slot", limitOf({ per: ["installation"] }))).toBe(
    'the limit "l" is reached: 1 calls at a time in all',
  );
});

describe("periods", () => {
  const at = (text: string) => Date.parse(text);
  test.each([
    ["day", "UTC", "2026-11-21T12:00:00Z", "2026-11-21", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"],
    ["day", "Europe/Berlin", "2026-11-21T23:30:00Z", "2026-11-22", "2026-11-21T23:00:00Z", "2026-11-22T23:00:00Z"],
    // The days on which clocks change have 23 and 25 hours.
    ["day", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"],
    ["day", "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"],
    ["month", "America/New_York", "2026-03-31T23:00:00Z", "2026-03", "2026-03-01T05:00:00Z", "2026-04-01T04:00:00Z"],
    ["month", "UTC", "2028-02-29T23:59:59.999Z", "2028-02", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"],
    ["day", "UTC", "2026-11-22T00:00:00Z", "2026-11-22", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"],
  ] as const)("a %s in %s at %s", (kind, timezone, now, name, begins, ends) => {
    const expected = { name, beginsAtMs: at(begins), endsAtMs: at(ends) };
    expect(periodOf(kind, timezone, at(now))).toEqual(expected);
    expect(createPeriods()(kind, timezone, at(now))).toEqual(expected);
  });

  test("are looked up anew when they are over", () => {
    const periods = createPeriods();
    expect(periods("day", "UTC", at("2026-11-21T23:59:59.999Z")).name).toBe("2026-11-21");
    expect(periods("day", "UTC", at("2026-11-22T00:00:00Z")).name).toBe("2026-11-22");
    expect(periods("day", "UTC", at("2026-11-21T12:00:00Z")).name).toBe("2026-11-21");
  });
});
