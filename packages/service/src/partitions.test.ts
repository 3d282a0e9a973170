import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { monthBounds, monthOf, partitionName } from "./partitions.ts";

describe("monthly partitions", () => {
  it("puts the last millisecond of a month and the first of the next in different months", () => {
    const november = monthOf(Date.UTC(2026, 10, 30, 23, 59, 59, 999));
    const december = monthOf(Date.UTC(2026, 11, 1));
    expect(december).toBe(november + 1);
    expect(monthBounds(november)).toEqual({ fromMs: Date.UTC(2026, 10, 1), toMs: Date.UTC(2026, 11, 1) });
  });

  it("names a month by year and number, across the turn of the year", () => {
    expect(partitionName("events", monthOf(Date.UTC(2026, 11, 31)))).toBe("events_202612");
    expect(partitionName("events", monthOf(Date.UTC(2026, 11, 31)) + 1)).toBe("events_202701");
  });

  it("covers every time that a UUIDv7 can hold by exactly one month, without gaps", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), (timeMs) => {
        const month = monthOf(timeMs);
        const { fromMs, toMs } = monthBounds(month);
        expect(fromMs <= timeMs && timeMs < toMs).toBe(true);
        expect(monthBounds(month + 1).fromMs).toBe(toMs);
        // Bounds are written into SQL in whole seconds.
        expect(fromMs % 1_000).toBe(0);
      }),
    );
  });
});
