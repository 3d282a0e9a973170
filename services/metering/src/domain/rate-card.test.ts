import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatNano, parseNano } from "./decimal.ts";
import { cardAt, costOf, parseRateCards, type Priced, type RateCard, type RateCardRow } from "./rate-card.ts";

const card: RateCard = {
  id: "default",
  version: 1,
  perCall: parseNano("0.0001"),
  perSecond: parseNano("0.00005"),
  perMegabyte: parseNano("0.00001"),
  perColdStart: parseNano("0.002"),
  currency: "USD",
  validFromMs: 0,
};
const nothing: Priced = { durationUs: 0, requestBytes: 0, responseBytes: 0, coldStart: false };

const rate = fc.bigInt({ min: 0n, max: 10n ** 13n - 1n });
const anyCard = fc
  .record({ perCall: rate, perSecond: rate, perMegabyte: rate, perColdStart: rate })
  .map((rates): RateCard => ({ ...card, ...rates }));
const anyCall = fc.record({
  durationUs: fc.nat(2_000_000_000),
  requestBytes: fc.nat(2_000_000_000),
  responseBytes: fc.nat(2_000_000_000),
  coldStart: fc.boolean(),
});

describe("the cost of a call", () => {
  it("is the sum of what the card names", () => {
    expect(formatNano(costOf(nothing, card))).toBe("0.0001");
    expect(formatNano(costOf({ ...nothing, durationUs: 2_000_000 }, card))).toBe("0.0002");
    expect(formatNano(costOf({ ...nothing, requestBytes: 400_000, responseBytes: 600_000 }, card))).toBe("0.00011");
    expect(formatNano(costOf({ ...nothing, coldStart: true }, card))).toBe("0.0021");
  });

  it("is rounded once, to the nearest nano-unit, halves up", () => {
    const perSecond = { ...card, perCall: 0n, perMegabyte: 0n, perSecond: 1n };
    expect(costOf({ ...nothing, durationUs: 499_999 }, perSecond)).toBe(0n);
    expect(costOf({ ...nothing, durationUs: 500_000 }, perSecond)).toBe(1n);
    // Half a nano-unit of time and half a nano-unit of bytes are one, where parts rounded by themselves would be two.
    const both = { ...perSecond, perMegabyte: 1n };
    expect(costOf({ ...nothing, durationUs: 500_000, requestBytes: 500_000 }, both)).toBe(1n);
  });

  it("is within half a nano-unit of the exact sum, whatever the card and the call", () => {
    fc.assert(
      fc.property(anyCard, anyCall, (any, call) => {
        // In millionths of a nano-unit nothing has to be rounded.
        const exact =
          (any.perCall + (call.coldStart ? any.perColdStart : 0n)) * 1_000_000n +
          any.perSecond * BigInt(call.durationUs) +
          any.perMegabyte * BigInt(call.requestBytes + call.responseBytes);
        const error = costOf(call, any) * 1_000_000n - exact;
        expect(error > -500_000n && error <= 500_000n).toBe(true);
      }),
    );
  });

  it("is additive: two calls differ from one with their usage by the base price and at most a nano-unit", () => {
    fc.assert(
      fc.property(anyCard, anyCall, anyCall, (any, first, second) => {
        const joined: Priced = {
          durationUs: first.durationUs + second.durationUs,
          requestBytes: first.requestBytes + second.requestBytes,
          responseBytes: first.responseBytes + second.responseBytes,
          coldStart: false,
        };
        const starts = BigInt(Number(first.coldStart) + Number(second.coldStart)) * any.perColdStart;
        const drift = costOf(first, any) + costOf(second, any) - costOf(joined, any) - any.perCall - starts;
        expect(drift >= -1n && drift <= 1n).toBe(true);
      }),
    );
  });

  it("never falls when usage grows", () => {
    fc.assert(
      fc.property(anyCard, anyCall, fc.nat(1_000_000), (any, call, more) => {
        expect(costOf({ ...call, durationUs: call.durationUs + more }, any) >= costOf(call, any)).toBe(true);
        expect(costOf({ ...call, responseBytes: call.responseBytes + more }, any) >= costOf(call, any)).toBe(true);
      }),
    );
  });
});

describe("the card of a time", () => {
  const second = { ...card, version: 2, validFromMs: 1_000 };
  const corrected = { ...card, version: 3, validFromMs: 1_000 };

  it("is the one that became valid last, from that millisecond on", () => {
    expect(cardAt([second, card], 999).version).toBe(1);
    expect(cardAt([card, second], 1_000).version).toBe(2);
  });

  it("is the highest version of several that became valid together", () => {
    expect(cardAt([corrected, card, second], 5_000).version).toBe(3);
  });

  it("has to exist: nothing is priced by guess", () => {
    expect(() => cardAt([second], 999)).toThrow(expect.objectContaining({ code: "failed_precondition" }));
  });
});

describe("stored cards", () => {
  const row: RateCardRow = {
    ...card,
    perCall: "0.000100000",
    perSecond: "0.000050000",
    perMegabyte: "0.000010000",
    perColdStart: "0.002000000",
  };

  it("are read to the nano-unit", () => {
    expect(parseRateCards([row])).toEqual({ cards: [card], currency: "USD" });
  });

  it("have to have one currency", () => {
    expect(() => parseRateCards([row, { ...row, currency: "EUR" }])).toThrow("USD and EUR");
    expect(() => parseRateCards([])).toThrow("none");
  });
});
