import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatCents, monthRange, roundToCents } from "./chargeback.ts";
import { parseNano } from "./decimal.ts";

const NANO_OF_CENT = 10_000_000n;
const anyCosts = fc.array(fc.bigInt({ min: 0n, max: 10n ** 15n }), { maxLength: 50 });

function sum(values: readonly bigint[]): bigint {
  return values.reduce((total, value) => total + value, 0n);
}

describe("amounts in cents", () => {
  it("sum to the rounded total, and each is less than a cent from its cost, whatever the costs", () => {
    fc.assert(
      fc.property(anyCosts, (costs) => {
        const { amounts, total } = roundToCents(costs);
        expect(sum(amounts)).toBe(total);
        expect(total).toBe((sum(costs) + NANO_OF_CENT / 2n) / NANO_OF_CENT);
        for (const [at, cost] of costs.entries()) {
          const error = amounts[at]! * NANO_OF_CENT - cost;
          expect(error > -NANO_OF_CENT && error < NANO_OF_CENT).toBe(true);
          if (cost === 0n) expect(amounts[at]).toBe(0n);
        }
      }),
    );
  });

  it("give the missing cents to those who are nearest to the next one, of equals to the first", () => {
    const costs = ["0.333", "0.333", "0.334"].map(parseNano);
    expect(roundToCents(costs)).toEqual({ amounts: [33n, 33n, 34n], total: 100n });
    expect(roundToCents(["0.005", "0.005"].map(parseNano))).toEqual({ amounts: [1n, 0n], total: 1n });
    expect(roundToCents([])).toEqual({ amounts: [], total: 0n });
  });
});

it("an amount has two decimals", () => {
  expect([0n, 5n, 99n, 100n, 123_456n].map(formatCents)).toEqual(["0.00", "0.05", "0.99", "1.00", "1234.56"]);
});

describe("a month", () => {
  it("is of UTC, to the next one", () => {
    expect(monthRange("2026-12")).toEqual({ fromMs: Date.UTC(2026, 11), toMs: Date.UTC(2027, 0) });
  });

  it.each(["", "2026", "2026-13", "2026-1", "2026-11-01", "1969-12"])("is not %j", (month) => {
    expect(() => monthRange(month)).toThrow(expect.objectContaining({ code: "invalid_argument" }));
  });
});
