import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isCallId, newCallId, timeOfId } from "./ids.ts";

const NOW_MS = Date.UTC(2026, 10, 21);
const TIME_MAX_MS = 2 ** 48 - 1;

describe("call ids", () => {
  it("are unique and sort in the order of making, however many fall into one millisecond", () => {
    const ids = Array.from({ length: 100_000 }, (_, at) => newCallId(NOW_MS + Math.floor(at / 40_000)));
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.toSorted()).toEqual(ids);
  });

  it("go on sorting when the clock goes back", () => {
    const before = newCallId(NOW_MS + 60_000);
    const after = [newCallId(NOW_MS), newCallId(NOW_MS + 30_000), newCallId(NOW_MS + 60_001)];
    expect([before, ...after].toSorted()).toEqual([before, ...after]);
    expect(timeOfId(after[1]!)).toBe(NOW_MS + 60_000);
    expect(timeOfId(after[2]!)).toBe(NOW_MS + 60_001);
  });

  it("run ahead of the clock by a millisecond for each 4,096 that it gives no time for, and no more", () => {
    const start = NOW_MS + 120_000;
    const ids = Array.from({ length: 3 * 4_096 }, () => newCallId(start));
    expect(timeOfId(ids[0]!)).toBe(start);
    expect(timeOfId(ids[4_095]!)).toBe(start);
    expect(timeOfId(ids[4_096]!)).toBe(start + 1);
    expect(timeOfId(ids.at(-1)!)).toBe(start + 2);
    expect(timeOfId(newCallId(start + 3))).toBe(start + 3);
  });

  it("are UUIDv7 that give back the time that they were made of", () => {
    // One number for all runs: within this process times may only go forwards.
    let time = NOW_MS + 240_000;
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000_000 }), (laterMs) => {
        time += laterMs;
        const id = newCallId(time);
        expect(isCallId(id)).toBe(true);
        expect(timeOfId(id)).toBe(time);
      }),
    );
  });

  it("keep all 48 bits of the time", () => {
    const hex = TIME_MAX_MS.toString(16);
    expect(timeOfId(`${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`)).toBe(TIME_MAX_MS);
    expect(timeOfId("00000000-0000-7000-8000-000000000000")).toBe(0);
  });

  it.each([
    ["another version", "01990000-0000-4000-8000-000000000000"],
    ["another variant", "01990000-0000-7000-c000-000000000000"],
    ["capital letters", "01990000-0000-7000-8000-00000000000A"],
    ["a line break after it", "01990000-0000-7000-8000-000000000000\n"],
    ["something before it", " 01990000-0000-7000-8000-000000000000"],
    ["no text", 7],
    ["nothing", undefined],
  ])("are told from %s", (_what, value) => {
    expect(isCallId(value)).toBe(false);
  });
});
