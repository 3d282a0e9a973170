import { type CallEvent, newCallId, timeOfId } from "@tollgate/contracts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseNano } from "./decimal.ts";
import { toMeteredCall, withoutDuplicates } from "./metered-call.ts";
import type { RateCard } from "./rate-card.ts";

const TIME_MS = Date.UTC(2026, 10, 20, 12);
const HIGHEST_RATE = parseNano("9999.999999999");
const card: RateCard = {
  id: "default",
  version: 7,
  perCall: parseNano("0.0001"),
  perSecond: parseNano("0.00005"),
  perMegabyte: parseNano("0.00001"),
  perColdStart: 0n,
  currency: "USD",
  validFromMs: 0,
};

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
    const event = callEvent({ durationMs: 1.234, coldStart: true });
    expect(toMeteredCall(event, 3, [card])).toMatchObject({
      timeMs: timeOfId(event.id),
      sequence: 3,
      durationUs: 1_234,
      requestBytes: 100,
      coldStart: true,
      rateCard: "default@7",
      // 0.0001 + 0.001234 s × 0.00005 + 0.0003 MB × 0.00001 = 0.0001000647, rounded to nine places
      cost: "0.000100065",
    });
  });

  it("is priced by the time at which it was made, not at which it ended", () => {
    const later = { ...card, version: 8, validFromMs: TIME_MS + 86_400_000 };
    const event = callEvent({ endedAt: TIME_MS + 2 * 86_400_000 });
    expect(toMeteredCall(event, 1, [card, later]).rateCard).toBe("default@7");
  });

  it("can be stored whatever numbers and names an event has", () => {
    const dearest = {
      ...card,
      perCall: HIGHEST_RATE,
      perSecond: HIGHEST_RATE,
      perMegabyte: HIGHEST_RATE,
      perColdStart: HIGHEST_RATE,
    };
    const anyNumber = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer());
    fc.assert(
      fc.property(anyNumber, anyNumber, anyNumber, fc.string(), (durationMs, requestBytes, responseBytes, tool) => {
        const call = toMeteredCall(callEvent({ durationMs, requestBytes, responseBytes, tool: `${tool}\0` }), 1, [
          dearest,
        ]);
        for (const value of [call.durationUs, call.requestBytes, call.responseBytes]) {
          expect(Number.isSafeInteger(value) && value >= 0).toBe(true);
        }
        expect(call.tool).not.toContain("\0");
        // numeric(20,9): eleven digits before the point.
        expect(call.cost).toMatch(/^\d{1,11}(\.\d{1,9})?$/);
      }),
    );
  });
});

describe("outcomes of one call in a batch", () => {
  it("leave the one that is first on the stream", () => {
    const event = callEvent();
    const late = toMeteredCall({ ...event, outcome: "unknown" }, 9, [card]);
    const first = toMeteredCall(event, 3, [card]);
    const other = toMeteredCall(callEvent(), 5, [card]);
    expect(withoutDuplicates([late, other, first])).toEqual([first, other]);
  });
});
