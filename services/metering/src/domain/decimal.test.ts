import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatNano, parseNano } from "./decimal.ts";

describe("a decimal", () => {
  it.each([
    ["0", 0n],
    ["0.0001", 100_000n],
    ["0.000000001", 1n],
    ["12", 12_000_000_000n],
    ["99999999999.999999999", 99_999_999_999_999_999_999n],
  ])("%s is counted in nano-units and written the same", (text, nano) => {
    expect(parseNano(text)).toBe(nano);
    expect(formatNano(nano)).toBe(text);
  });

  it("may come with trailing zeros, as the database writes it", () => {
    expect(parseNano("0.000050000")).toBe(50_000n);
  });

  it.each(["", "-1", "1e-7", ".5", "0.0000000001", "NaN", "1,5"])("is not %j", (text) => {
    expect(() => parseNano(text)).toThrow(RangeError);
  });

  it("comes back from its text, which has no exponent and no trailing zeros", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 20n - 1n }), (nano) => {
        const text = formatNano(nano);
        expect(text).toMatch(/^(0|[1-9]\d*)(\.\d*[1-9])?$/);
        expect(parseNano(text)).toBe(nano);
      }),
    );
  });
});
