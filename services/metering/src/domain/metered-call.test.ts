import { type CallEvent, newCallId, timeOfId } from "@tollgate/contracts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseNano } from "./decimal.ts";
import { type CallUsage, monthOf, type Price, priceCall, toCallUsage, withoutDuplicates } from "./metered-call.ts";
import type { RateCard } from "./rate-card.ts";
import { openTariff } from "./tariff.ts";

const TIME_MS = Date.UTC(2026, 10, 20, 12);
const HIGHEST_RATE = parseNano("10000");
const card: RateCard = {
  id: "default",
  version: 7,
  tenant: "",
  group: "",
  server: "",
  tool: "",
  perCall: parseNano("0.0001"),
  perSecond: parseNano("0.00005"),
  perCpuSecond: 0n,
  perMegabyte: parseNano("0.00001"),
  perColdStart: 0n,
  tiers: [],
  currency: "USD",
  validFromMs: 0,
  recordsFromMs: 0,
};

function meter(event: CallEvent, cards = [card]): CallUsage & Price {
  const usage = toCallUsage(event, 3);
  return { ...usage, ...priceCall(usage, { monthCall: 1, tariff: openTariff(cards, { asOf: "recording" }) }) };
}

function callEvent(fields: Partial<CallEvent> = {}): CallEvent {
  return {
    v: 1,
    kind: "call",
    id: newCallId(TIME_MS),
    principal: "token:dev",
    tenant: "acme",
    team: "platform",
    client: "test/1.0",
    group: "demo",
    server: "everything",
    tool: "echo",
    method: "tools/call",
    protocol: "2025-11-25",
    decision: { allow: true, policies: [], revision: 1, reason: "" },
    acceptedAt: TIME_MS,
    requestBytes: 100,
    outcome: "ok",
    endedAt: TIME_MS + 3,
    queueMs: 0.25,
    durationMs: 1.5,
    responseBytes: 200,
    runner: "demo-1",
    coldStart: false,
    ...fields,
  };
}

describe("a metered call", () => {
  it("has its usage in whole units and its price by the card of its time", () => {
    const event = callEvent({ durationMs: 1.234, cpuMs: 0.5, startedAt: TIME_MS + 1, attempts: 2 });
    expect(meter({ ...event, coldStart: true, coldStartCalls: 4 })).toMatchObject({
      timeMs: timeOfId(event.id),
      sequence: 3,
      durationUs: 1_234,
      cpuUs: 500,
      requestBytes: 100,
      coldStartCalls: 4,
      downstreamCalls: 2,
      rateCard: "default@7",
      // 0.0001 + 0.001234 s × 0.00005 + 0.0003 MB × 0.00001 = 0.0001000647, rounded to nine places
      cost: "0.000100065",
    });
  });

  it("has no downstream call where no server was handed it, and one where nothing else is said", () => {
    expect(meter(callEvent()).downstreamCalls).toBe(0);
    expect(meter(callEvent({ startedAt: TIME_MS })).downstreamCalls).toBe(1);
    expect(meter(callEvent({ startedAt: TIME_MS, attempts: 2, apiRequests: 7 })).downstreamCalls).toBe(7);
  });

  it("has waited for a start alone where its runner does not say with how many", () => {
    expect(meter(callEvent({ coldStart: true })).coldStartCalls).toBe(1);
    expect(meter(callEvent({ coldStart: false, coldStartCalls: 3 })).coldStartCalls).toBe(0);
  });

  it("is priced by the time at which it was made, not at which it ended", () => {
    const from = TIME_MS + 86_400_000;
    const later = { ...card, version: 8, validFromMs: from, recordsFromMs: from };
    const event = callEvent({ endedAt: TIME_MS + 2 * 86_400_000 });
    expect(meter(event, [card, later]).rateCard).toBe("default@7");
  });

  it("can be stored whatever numbers and names an event has", () => {
    const dearest = {
      ...card,
      perCall: HIGHEST_RATE,
      perSecond: HIGHEST_RATE,
      perCpuSecond: HIGHEST_RATE,
      perMegabyte: HIGHEST_RATE,
      perColdStart: HIGHEST_RATE,
    };
    const anyNumber = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer());
    const anything = fc.anything() as fc.Arbitrary<undefined>;
    const numbers = { durationMs: anyNumber, requestBytes: anyNumber, responseBytes: anyNumber };
    const others = { cpuMs: anything, attempts: anything, startedAt: anything, coldStartCalls: anything };
    const text = fc.string({ unit: fc.constantFrom("a", "\0", "\ud800", "\udc00") });
    fc.assert(
      fc.property(fc.record({ ...numbers, ...others, tool: text, coldStart: fc.boolean() }), (fields) => {
        const call = meter(callEvent(fields as unknown as Partial<CallEvent>), [dearest]);
        const { durationUs, cpuUs, requestBytes, responseBytes, coldStartCalls, downstreamCalls } = call;
        for (const value of [durationUs, cpuUs, requestBytes, responseBytes, coldStartCalls, downstreamCalls])
          expect(Number.isSafeInteger(value) && value >= 0).toBe(true);
        expect(call.tool).not.toContain("\0");
        expect(call.tool.isWellFormed()).toBe(true);
        // numeric(20,9): eleven digits before the point.
        expect(call.cost).toMatch(/^\d{1,11}(\.\d{1,9})?$/);
      }),
    );
  });
});

describe("outcomes of one call in a batch", () => {
  it("leave the one that is first on the stream", () => {
    const event = callEvent();
    const first = toCallUsage(event, 3);
    const other = toCallUsage(callEvent(), 5);
    const elsewhere = toCallUsage({ ...event, tenant: "other" }, 6);
    const late = toCallUsage({ ...event, outcome: "unknown" }, 9);
    expect(withoutDuplicates([first, other, elsewhere, late])).toEqual([first, other, elsewhere]);
  });
});

it("the month of a call is that of UTC", () => {
  expect(monthOf(Date.UTC(2026, 11, 1) - 1)).toBe("2026-11");
  expect(monthOf(Date.UTC(2026, 11, 1))).toBe("2026-12");
});
