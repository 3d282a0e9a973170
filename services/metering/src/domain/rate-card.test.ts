import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatNano, parseNano } from "./decimal.ts";
import {
  costOf as costOfMonthCall,
  parseRateCards,
  type Priced,
  type Prices,
  type RateCard,
  type RateCardRow,
} from "./rate-card.ts";

const card: RateCard = {
  id: "default",
  version: 1,
  tenant: "",
  group: "",
  server: "",
  tool: "",
  perCall: parseNano("0.0001"),
  perSecond: parseNano("0.00005"),
  perCpuSecond: parseNano("0.0004"),
  perMegabyte: parseNano("0.00001"),
  perColdStart: parseNano("0.002"),
  tiers: [],
  currency: "USD",
  validFromMs: 0,
  recordsFromMs: 0,
};
const nothing: Priced = {
  durationUs: 0,
  cpuUs: 0,
  requestBytes: 0,
  responseBytes: 0,
  coldStartCalls: 0,
};

function costOf(call: Priced, prices: Prices): bigint {
  return costOfMonthCall(call, prices, 1);
}

const rate = fc.bigInt({ min: 0n, max: 10n ** 13n });
const anyPrices = fc
  .record({ perCall: rate, perSecond: rate, perCpuSecond: rate, perMegabyte: rate, perColdStart: rate })
  .map((rates): Prices => ({ ...rates, tiers: [] }));
const anyCall: fc.Arbitrary<Priced> = fc.record({
  durationUs: fc.nat(2_000_000_000),
  cpuUs: fc.nat(2_000_000_000),
  requestBytes: fc.nat(2_000_000_000),
  responseBytes: fc.nat(2_000_000_000),
  coldStartCalls: fc.nat(10_000),
});

describe("the cost of a call", () => {
  it("is the sum of what the card names", () => {
    expect(formatNano(costOf(nothing, card))).toBe("0.0001");
    expect(formatNano(costOf({ ...nothing, durationUs: 2_000_000 }, card))).toBe("0.0002");
    expect(formatNano(costOf({ ...nothing, cpuUs: 500_000 }, card))).toBe("0.0003");
    expect(formatNano(costOf({ ...nothing, requestBytes: 400_000, responseBytes: 600_000 }, card))).toBe("0.00011");
    expect(formatNano(costOf({ ...nothing, coldStartCalls: 1 }, card))).toBe("0.0021");
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
      fc.property(anyPrices, anyCall, (any, call) => {
        // In these parts of a nano-unit nothing has to be rounded.
        const sharers = BigInt(Math.max(call.coldStartCalls, 1));
        const parts = 1_000_000n * sharers;
        const measured =
          any.perSecond * BigInt(call.durationUs) +
          any.perCpuSecond * BigInt(call.cpuUs) +
          any.perMegabyte * BigInt(call.requestBytes + call.responseBytes);
        const start = call.coldStartCalls === 0 ? 0n : any.perColdStart * 1_000_000n;
        const exact = any.perCall * parts + measured * sharers + start;
        const error = costOf(call, any) * parts - exact;
        expect(error * 2n > -parts && error * 2n <= parts).toBe(true);
      }),
    );
  });

  it("is additive: two calls differ from one with their usage by the base price and at most a nano-unit", () => {
    fc.assert(
      fc.property(anyPrices, anyCall, anyCall, (any, first, second) => {
        const [one, other] = [first, second].map((call) => ({ ...call, coldStartCalls: 0 }));
        const joined: Priced = {
          ...one!,
          durationUs: one!.durationUs + other!.durationUs,
          cpuUs: one!.cpuUs + other!.cpuUs,
          requestBytes: one!.requestBytes + other!.requestBytes,
          responseBytes: one!.responseBytes + other!.responseBytes,
        };
        const drift = costOf(one!, any) + costOf(other!, any) - costOf(joined, any) - any.perCall;
        expect(drift >= -1n && drift <= 1n).toBe(true);
      }),
    );
  });

  it("never falls when usage grows", () => {
    fc.assert(
      fc.property(anyPrices, anyCall, fc.nat(1_000_000), (any, call, more) => {
        expect(costOf({ ...call, durationUs: call.durationUs + more }, any) >= costOf(call, any)).toBe(true);
        expect(costOf({ ...call, cpuUs: call.cpuUs + more }, any) >= costOf(call, any)).toBe(true);
        expect(costOf({ ...call, responseBytes: call.responseBytes + more }, any) >= costOf(call, any)).toBe(true);
      }),
    );
  });
});

describe("the price of a start", () => {
  it("is shared in equal parts by the calls that waited for it, to half a nano-unit each", () => {
    fc.assert(
      fc.property(rate, fc.integer({ min: 1, max: 10_000 }), (perColdStart, sharers) => {
        const prices = { ...card, perCall: 0n, perColdStart };
        const share = costOf({ ...nothing, coldStartCalls: sharers }, prices);
        const error = share * BigInt(sharers) - perColdStart;
        expect(2n * error > -BigInt(sharers) && 2n * error <= BigInt(sharers)).toBe(true);
      }),
    );
  });
});

describe("tiers", () => {
  const tiered: Prices = {
    ...card,
    tiers: [
      { upTo: 10, perCall: 100n },
      { upTo: 25, perCall: 40n },
      { upTo: 0, perCall: 7n },
    ],
  };

  it("are graduated: each call has the price of the tier that it falls into", () => {
    const prices = [1, 10, 11, 25, 26, 1_000_000].map((monthCall) => costOfMonthCall(nothing, tiered, monthCall));
    expect(prices).toEqual([100n, 100n, 40n, 40n, 7n, 7n]);
  });

  it("sum to what the parts of a month cost, however many calls it has", () => {
    fc.assert(
      fc.property(fc.nat(200), (calls) => {
        let sum = 0n;
        for (let monthCall = 1; monthCall <= calls; monthCall++) sum += costOfMonthCall(nothing, tiered, monthCall);
        const [first, second] = [Math.min(calls, 10), Math.min(Math.max(calls - 10, 0), 15)];
        expect(sum).toBe(BigInt(first * 100 + second * 40 + (calls - first - second) * 7));
      }),
    );
  });
});

describe("stored cards", () => {
  const row: RateCardRow = {
    ...card,
    perCall: "0.000100000",
    perSecond: "0.000050000",
    perCpuSecond: "0.000400000",
    perMegabyte: "0.000010000",
    perColdStart: "0.002000000",
    tiers: [{ upTo: 0, perCall: "0.5" }],
  };

  it("are read to the nano-unit", () => {
    const tiers = [{ upTo: 0, perCall: 500_000_000n }];
    expect(parseRateCards([row])).toEqual({ cards: [{ ...card, tiers }], currency: "USD" });
  });

  it("have to have one currency", () => {
    expect(() => parseRateCards([row, { ...row, currency: "EUR" }])).toThrow("USD and EUR");
    expect(() => parseRateCards([])).toThrow("none");
  });
});
