import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Ask, createHeldPermits, type Grant, type HeldPermits } from "./permits.ts";

const RATE = "rate|r|acme";
const DAY = "day|d|acme";
const SLOT = "slot|s|acme";
const NOW = { isCurrent: true, askedAtMs: 0, nowMs: 1 };
const DAY_LEFT_MS = 3_600_000;

const held = (keysMax = 10) => createHeldPermits({ keysMax });
const grantOf = (granted: number, leaseMs = 500, rest: Partial<Grant> = {}): Grant => ({
  granted,
  leaseMs,
  retryAfterMs: 0,
  reason: "",
  ...rest,
});

/** Asks for one that waits, and gets so many. */
function give(permits: HeldPermits, key: string, grant: Grant, options = NOW): Ask {
  const asked = permits.ask([[key]], options.askedAtMs).find((each) => each.key === key)!;
  permits.granted([{ asked, grant }], options);
  return asked;
}

describe("permits", () => {
  test("let in as many as there are, until their lease is over", () => {
    const permits = held();
    expect(permits.take([RATE], 0)).toBe(false);
    expect(give(permits, RATE, grantOf(3))).toEqual({ key: RATE, wanted: 1, waiting: 1, held: 0, returned: 0 });
    expect([permits.take([RATE], 1), permits.take([RATE], 499)]).toEqual([true, true]);
    expect(permits.take([RATE], 500)).toBe(false);
  });

  test("are taken of all keys or of none", () => {
    const permits = held();
    give(permits, RATE, grantOf(1));
    expect(permits.take([RATE, DAY], 1)).toBe(false);
    expect(permits.take([RATE], 1)).toBe(true);
  });

  test("are asked for in greater numbers where they are used up", () => {
    const permits = held();
    give(permits, RATE, grantOf(20));
    for (let n = 0; n < 20; n++) permits.take([RATE], 1);
    expect(permits.ask([[RATE], [RATE]], 2)).toMatchObject([{ wanted: 2 + 40, waiting: 2 }]);
  });

  test("that came under another revision count for nothing; those of a day are returned", () => {
    const permits = held();
    give(permits, RATE, grantOf(5), { ...NOW, isCurrent: false });
    give(permits, DAY, grantOf(5, DAY_LEFT_MS), { ...NOW, isCurrent: false });
    expect([permits.take([RATE], 1), permits.take([DAY], 1)]).toEqual([false, false]);
    expect(permits.ask([], 2)).toEqual([{ key: DAY, wanted: 0, waiting: 0, held: 0, returned: 5 }]);
    expect(permits.ask([], 3)).toEqual([]);
  });

  test("are dropped when the revision changes, also those of calls that are given back after that", () => {
    const permits = held();
    give(permits, RATE, grantOf(5));
    give(permits, DAY, grantOf(5, DAY_LEFT_MS));
    expect(permits.take([RATE, DAY], 2)).toBe(true);
    permits.drop(3);
    permits.putBack([RATE, DAY], { isCurrent: false, nowMs: 4 });
    expect([permits.take([RATE], 4), permits.take([DAY], 4)]).toEqual([false, false]);
    expect(permits.ask([], 5)).toMatchObject([{ key: DAY, returned: 5 }]);
  });

  test("of a day that nobody uses are returned, but not when the day is about to end", () => {
    const permits = held();
    give(permits, DAY, grantOf(5, DAY_LEFT_MS));
    expect(permits.ask([], 900)).toEqual([]);
    expect(permits.ask([], 1_100)).toMatchObject([{ key: DAY, wanted: 0, returned: 5 }]);
    expect(permits.take([DAY], 1_200)).toBe(false);
    const late = held();
    give(late, DAY, grantOf(5, 5_500));
    expect(late.ask([], 1_100)).toMatchObject([{ returned: 0 }]);
  });

  test("a refusal is remembered for a moment, and forgotten with the revision", () => {
    const permits = held();
    give(permits, RATE, grantOf(0, 500, { retryAfterMs: 4_000, reason: "no" }));
    expect(permits.refusalOf([DAY, RATE], 50)).toMatchObject({ reason: "no", retryAfterMs: 4_000 });
    expect(permits.refusalOf([RATE], 101)).toBeUndefined();
    give(permits, RATE, grantOf(0, 500, { retryAfterMs: 4_000, reason: "no" }));
    permits.drop(2);
    expect(permits.refusalOf([RATE], 3)).toBeUndefined();
  });

  test("of keys beyond what is kept there are none, until idle ones are forgotten", () => {
    const permits = held(1);
    give(permits, RATE, grantOf(1));
    expect(permits.ask([[DAY]], 1)).toEqual([]);
    permits.ask([], 5_000);
    expect(permits.size).toBe(0);
    expect(permits.ask([[DAY]], 5_001)).toMatchObject([{ key: DAY }]);
  });
});

describe("places", () => {
  test("are used again when a call ends, as long as policy hears of them", () => {
    const permits = held();
    give(permits, SLOT, grantOf(1, 3_000));
    expect([permits.take([SLOT], 1), permits.take([SLOT], 1)]).toEqual([true, false]);
    permits.leave([SLOT, RATE], 2);
    expect(permits.take([SLOT], 3)).toBe(true);
    expect(permits.ask([], 600)).toMatchObject([{ key: SLOT, wanted: 0, held: 1 }]);
    permits.leave([SLOT], 3_100);
    expect(permits.take([SLOT], 3_101)).toBe(false);
    expect(permits.ask([], 3_102)).toMatchObject([{ key: SLOT, held: 0 }]);
  });

  test("that nobody wants are given up", () => {
    const permits = held();
    give(permits, SLOT, grantOf(3, 3_000));
    expect(permits.ask([], 700)).toMatchObject([{ key: SLOT, held: 0 }]);
    expect(permits.take([SLOT], 701)).toBe(false);
  });

  test("are not used again where there are fewer now, nor after a new revision until policy has answered", () => {
    const permits = held();
    give(permits, SLOT, grantOf(2, 3_000));
    permits.take([SLOT], 1);
    permits.take([SLOT], 1);
    permits.drop(2);
    permits.leave([SLOT], 3);
    expect(permits.take([SLOT], 4)).toBe(false);
    const [asked] = permits.ask([], 5);
    expect(asked).toMatchObject({ held: 1 });
    permits.granted([{ asked: asked!, grant: grantOf(0, 0) }], { isCurrent: true, askedAtMs: 5, nowMs: 6 });
    permits.leave([SLOT], 7);
    expect(permits.take([SLOT], 8)).toBe(false);
  });

  test("policy is told again where it is not known what it has heard", () => {
    const permits = held();
    give(permits, SLOT, grantOf(1, 3_000));
    permits.take([SLOT], 1);
    const asked = permits.ask([], 600);
    permits.unanswered(asked);
    expect(permits.ask([], 601)).toMatchObject([{ key: SLOT, held: 1 }]);
  });

  test("this gateway never has more than policy thinks that it has", () => {
    const step = fc.record({
      does: fc.constantFrom("take", "leave", "ask", "tick", "drop"),
      grant: fc.integer({ min: 0, max: 3 }),
      afterMs: fc.integer({ min: 0, max: 700 }),
      isLost: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const permits = held();
        let nowMs = 0;
        let busy = 0;
        let known = 0;
        for (const { does, grant, afterMs, isLost } of steps) {
          nowMs += afterMs;
          if (does === "take" && permits.take([SLOT], nowMs)) busy += 1;
          if (does === "drop") permits.drop(nowMs);
          if (does === "leave" && busy > 0) {
            permits.leave([SLOT], nowMs);
            busy -= 1;
          }
          const asked = does === "ask" || does === "tick" ? permits.ask(does === "ask" ? [[SLOT]] : [], nowMs) : [];
          for (const each of asked) {
            const granted = each.wanted > 0 ? grant : 0;
            known = each.held + granted;
            if (isLost) permits.unanswered([each]);
            else
              permits.granted([{ asked: each, grant: grantOf(granted, 3_000) }], {
                isCurrent: true,
                askedAtMs: nowMs,
                nowMs,
              });
          }
          expect(busy).toBeLessThanOrEqual(known);
        }
      }),
      { numRuns: 500 },
    );
  });
});
