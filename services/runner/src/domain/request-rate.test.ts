import fc from "fast-check";
import { expect, test } from "vitest";
import { createRequestRate } from "./request-rate.ts";

test("so many at once, then one at a time; a pause fills the bucket again, and no more than that", () => {
  const rate = createRequestRate({ requests: 10, perMs: 1_000, burst: 2 });
  expect([rate.take(0), rate.take(0), rate.take(0), rate.take(0)]).toEqual([0, 0, 100, 200]);
  expect(rate.take(10_000)).toBe(0);
  expect([rate.take(10_000), rate.take(10_000)]).toEqual([0, 100]);
});

test("a place that is given back is the next one's", () => {
  const rate = createRequestRate({ requests: 1, perMs: 1_000, burst: 1 });
  rate.take(0);
  expect(rate.take(0)).toBe(1_000);
  rate.giveBack();
  expect(rate.take(0)).toBe(1_000);
});

test("no time has more of them than the rate and one bucket", () => {
  const times = fc.array(fc.nat(5_000), { minLength: 1, maxLength: 200 }).map((all) => all.toSorted((a, b) => a - b));
  fc.assert(
    fc.property(times, fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 10 }), (all, requests, burst) => {
      const rate = createRequestRate({ requests, perMs: 1_000, burst });
      const leaving = all.map((now) => now + rate.take(now));
      for (const [index, first] of leaving.entries()) {
        const within = leaving.slice(index).filter((each) => each - first < 1_000 - 1e-6);
        expect(within.length).toBeLessThanOrEqual(requests + burst);
      }
    }),
  );
});
