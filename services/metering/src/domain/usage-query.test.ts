import { meteringV1 } from "@tollgate/contracts";
import { describe, expect, it } from "vitest";
import { parseUsageQuery, planUsage, type UsageQuery } from "./usage-query.ts";

type Fields = Partial<meteringV1.GetUsageRequest>;

function parse(fields: Fields) {
  return parseUsageQuery({ ...meteringV1.GetUsageRequest.fromPartial({}), ...fields });
}

describe("a usage query", () => {
  it("without any field asks for one total of everything", () => {
    expect(parse({})).toEqual({ groupBy: [], filter: [], limit: 1_000, rating: 0 });
  });

  it("groups by any of the eight, in the order given", () => {
    const all = ["tool", "tenant", "team", "principal", "user", "agent", "group", "server"];
    expect(parse({ groupBy: all }).groupBy).toEqual(all);
    expect(parse({ groupBy: ["tool", "team"] }).groupBy).toEqual(["tool", "team"]);
  });

  it("looks for texts as they are stored, and for users and agents as the principals that they are", () => {
    const filter = { user: "ann", tool: "long".repeat(400), team: "\0" };
    expect(parse({ filter }).filter).toEqual([
      ["principal", "user:ann"],
      ["tool", expect.stringMatching(/^(long)+lon~[0-9a-f]{16}$/)],
      ["team", "\u{fffd}"],
    ]);
  });

  it.each<[string, Fields]>([
    ["tenant", { tenant: "a'; DROP" }],
    ["group_by", { groupBy: ["cost"] }],
    ["group_by", { groupBy: ["tool", "tool"] }],
    ["group_by", { groupBy: ["toString"] }],
    ["filter", { filter: { cost: "1" } }],
    ["tenant", { filter: { tenant: "\0" } }],
    ["step", { step: "week" }],
    ["rating", { rating: 2 ** 31 }],
    ["limit", { limit: 10_001 }],
    ["from_ms", { fromMs: -1n }],
    ["to_ms", { toMs: 2n ** 62n }],
    ["to_ms", { fromMs: 5n, toMs: 4n }],
  ])("with a wrong %s is refused by that name", (field, fields) => {
    const refusal = { code: "invalid_argument", message: expect.stringContaining(`${field}:`) };
    expect(() => parse(fields)).toThrow(expect.objectContaining(refusal));
  });
});

const DAY_MS = 86_400_000;
const QUERY: UsageQuery = { groupBy: [], filter: [], limit: 1, rating: 0 };

function partsOf(query: UsageQuery) {
  const { days, calls } = planUsage(query);
  return { days, calls };
}

describe("a time", () => {
  it("is read by whole days, and at its ends by the calls, without a gap or an overlap", () => {
    expect(partsOf(QUERY)).toEqual({ days: { fromMs: undefined, toMs: undefined }, calls: [] });
    expect(partsOf({ ...QUERY, fromMs: 0, toMs: 2 * DAY_MS })).toEqual({
      days: { fromMs: 0, toMs: 2 * DAY_MS },
      calls: [],
    });
    expect(partsOf({ ...QUERY, fromMs: 1, toMs: 2 * DAY_MS + 1 })).toEqual({
      days: { fromMs: DAY_MS, toMs: 2 * DAY_MS },
      calls: [
        { fromMs: 1, toMs: DAY_MS },
        { fromMs: 2 * DAY_MS, toMs: 2 * DAY_MS + 1 },
      ],
    });
  });

  it("without a whole day, or by the hour, is read from the calls alone", () => {
    for (const range of [
      { fromMs: 1, toMs: DAY_MS },
      { fromMs: 1, toMs: DAY_MS + 1 },
    ])
      expect(partsOf({ ...QUERY, ...range })).toEqual({ days: undefined, calls: [range] });
    const hours = partsOf({ ...QUERY, fromMs: 0, toMs: DAY_MS, step: "hour" });
    expect(hours).toEqual({ days: undefined, calls: [{ fromMs: 0, toMs: DAY_MS }] });
  });
});

function grainOf(query: UsageQuery) {
  return planUsage(query).grain;
}

it("sums are read as coarse as the question allows", () => {
  expect(grainOf(QUERY)).toBe(1);
  expect(grainOf({ ...QUERY, groupBy: ["user", "team"], filter: [["tenant", "a"]] })).toBe(1);
  expect(grainOf({ ...QUERY, groupBy: ["tenant", "server"] })).toBe(2);
  expect(grainOf({ ...QUERY, groupBy: ["team"], filter: [["tool", "t"]] })).toBe(0);
});
