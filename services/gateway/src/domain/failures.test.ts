import fc from "fast-check";
import { expect, test } from "vitest";
import { ALERT_FAILURES, createFailures, FREE_FAILURES, HELD_MAX, WINDOW_MS } from "./failures.ts";

const many = <T>(count: number, act: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => act(i));

test("after ten failures within a minute each answer is held back for longer, up to a bound", () => {
  const failures = createFailures();
  const delays = many(20, (i) => {
    const { delayMs } = failures.failed("a", i);
    if (delayMs !== 0) failures.released("a");
    return delayMs;
  });
  expect(delays.slice(0, FREE_FAILURES)).toEqual(many(FREE_FAILURES, () => 0));
  expect(delays.slice(FREE_FAILURES)).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000, 5_000]);
});

test("a minute later it begins anew", () => {
  const failures = createFailures();
  many(FREE_FAILURES, () => failures.failed("a", 0));
  expect(failures.failed("a", WINDOW_MS).delayMs).toBe(0);
  expect(failures.failed("a", WINDOW_MS + 1).delayMs).toBe(0);
});

test("one address is slowed for itself alone", () => {
  const failures = createFailures();
  many(FREE_FAILURES + 1, () => failures.failed("a", 0));
  expect(failures.failed("b", 0).delayMs).toBe(0);
});

test("where too many answers are held back already, the next one is refused, until one of them is given", () => {
  const failures = createFailures();
  many(FREE_FAILURES, () => failures.failed("a", 0));
  many(HELD_MAX, () => expect(failures.failed("a", 0).delayMs).toBeGreaterThan(0));
  expect(failures.failed("a", 0).delayMs).toBeUndefined();
  failures.released("a");
  expect(failures.failed("a", 0).delayMs).toBeGreaterThan(0);
  expect(failures.failed("a", 0).delayMs).toBeUndefined();
});

test("somebody is told at the fiftieth, once in ten minutes", () => {
  const failures = createFailures();
  const alerts = (from: number) => many(ALERT_FAILURES + 10, () => failures.failed("a", from).alert);
  const first = alerts(0);
  expect(first.indexOf(true)).toBe(ALERT_FAILURES - 1);
  expect(first.filter(Boolean)).toHaveLength(1);
  expect(alerts(9 * 60_000)).not.toContain(true);
  expect(alerts(10 * 60_000).filter(Boolean)).toHaveLength(1);
});

test("what is kept is bounded, and the oldest is forgotten", () => {
  const failures = createFailures();
  many(FREE_FAILURES, () => failures.failed("first", 0));
  many(20_000, (i) => failures.failed(`n${i}`, 0));
  expect(failures.size).toBe(10_000);
  expect(failures.failed("first", 0).delayMs).toBe(0);
});

test("never more are held back than may be, whatever comes in whatever order", () => {
  const step = fc.record({ network: fc.constantFrom("a", "b", "c"), release: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 500 }), (steps) => {
      const failures = createFailures();
      const held = new Map<string, number>();
      for (const { network, release } of steps) {
        const now = held.get(network) ?? 0;
        if (release) failures.released(network);
        const left = release ? Math.max(0, now - 1) : now;
        const { delayMs } = failures.failed(network, 0);
        held.set(network, left + (delayMs === undefined || delayMs === 0 ? 0 : 1));
        expect(held.get(network)).toBeLessThanOrEqual(HELD_MAX);
      }
    }),
  );
});
