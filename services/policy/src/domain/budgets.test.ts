import type { DesiredLimit } from "@tollgate/desired-state";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crossedThresholds, crossingOf } from "./budgets.ts";
import { decimalOf, nanoOf } from "./money.ts";

function limitOf(budget: Partial<NonNullable<DesiredLimit["budget"]>>): DesiredLimit {
  const whole = { amount: "10", period: "month", thresholds: [50, 80, 100], ...budget } as const;
  return { name: "money", description: "", per: ["team"], match: {}, timezone: "UTC", budget: whole };
}
const spentOf = (text: string) => ({ nano: nanoOf(text), tenant: "acme" });

describe("thresholds", () => {
  it.each([
    ["0", []],
    ["4.999999999", []],
    ["5", [50]],
    ["7.999999999", [50]],
    ["8.000000000", [50, 80]],
    ["9.999999999", [50, 80]],
    ["10", [50, 80, 100]],
    ["1000000", [50, 80, 100]],
  ])("with %s of 10 spent are passed at %j percent", (spent, passed) => {
    expect(crossedThresholds(limitOf({}), spentOf(spent))).toEqual(passed);
  });

  it("of a budget of nothing are passed by the first cost", () => {
    expect(crossedThresholds(limitOf({ amount: "0" }), spentOf("0"))).toEqual([]);
    expect(crossedThresholds(limitOf({ amount: "0" }), spentOf("0.000000001"))).toEqual([50, 80, 100]);
  });

  it("are the usual ones where a limit was stored before there were any", () => {
    const { thresholds: _none, ...budget } = limitOf({}).budget!;
    const stored = { ...limitOf({}), budget } as unknown as DesiredLimit;
    expect(crossedThresholds(stored, spentOf("9"))).toEqual([50, 80]);
  });

  it("are told of with whose they are, in words too", () => {
    const figures = { limit: limitOf({ amount: "10.5" }), byKey: new Map(), currency: "EUR", periodFrom: 0 };
    const about = { limitKey: "budget|money|acme%2Fdata%20science", spent: spentOf("9.25"), threshold: 80 };
    expect(crossingOf(figures, about)).toMatchObject({
      tenant: "acme",
      key: "acme/data science",
      spent: "9.25",
      amount: "10.50",
      reason: '80 % of the budget "money" are spent by acme/data science: 9.25 of 10.50 EUR a month',
    });
    const ofAll = { limitKey: "budget|money|", spent: { ...spentOf("9"), tenant: "" }, threshold: 80 };
    expect(crossingOf(figures, ofAll)).toMatchObject({ tenant: "tollgate", key: "" });
  });
});

describe("money", () => {
  it("is the same to the billionth in both forms", () => {
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 10n ** 30n }), (nano) => nanoOf(decimalOf(nano)) === nano));
  });

  it.each([
    [0n, "0.00"],
    [1n, "0.000000001"],
    [10_000_000n, "0.01"],
    [12_500_000_000n, "12.50"],
    [1_230_000_000n, "1.23"],
    [1_234_000_000n, "1.234"],
  ])("%d billionths are %s", (nano, text) => expect(decimalOf(nano)).toBe(text));

  it.each(["", "-1", "1e3", "1.0000000001", ".5", "1.", "NaN"])("%j is none", (text) =>
    expect(() => nanoOf(text)).toThrow("not a decimal number"),
  );
});
