import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { batchOf, createRates, createSlots, SLOT_LEASE_MS } from "./limit-permits.ts";

const LEASE_MS = 500;
/** Long before: buckets are full, and every gateway has been heard. */
const BEGAN = -1_000_000;
const rates = (keysMax = 10) => createRates({ beganAtMs: BEGAN, keysMax });
const slots = (beganAtMs = BEGAN) => createSlots({ beganAtMs, keysMax: 10 });

test("a batch is what waits, and a little to spare while much is left", () => {
  expect(batchOf(100, { wanted: 50, waiting: 1 })).toBe(1 + 9);
  expect(batchOf(5, { wanted: 50, waiting: 1 })).toBe(1);
  expect(batchOf(3, { wanted: 50, waiting: 20 })).toBe(3);
  expect(batchOf(0, { wanted: 5, waiting: 5 })).toBe(0);
  expect(batchOf(-7, { wanted: 5, waiting: 5 })).toBe(0);
});

const fastRate = { perSecond: 50, burst: 20 };
const event = fc.record({
  afterMs: fc.integer({ min: 0, max: 400 }),
  waiting: fc.integer({ min: 0, max: 60 }),
  more: fc.integer({ min: 0, max: 200 }),
  /** When spare permits are used: as late as they may be is worst. */
  useAfterMs: fc.integer({ min: 0, max: LEASE_MS - 1 }),
});

describe("rates", () => {
  test("in no stretch of time more is let in than burst and rate allow, whenever gateways use what they have", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const bucket = rates();
        const usedAt: number[] = [];
        let nowMs = 0;
        for (const { afterMs, waiting, more, useAfterMs } of events) {
          nowMs += afterMs;
          const { granted } = bucket.lease("k", fastRate, { wanted: waiting + more, waiting }, nowMs);
          for (let n = 0; n < granted; n++) usedAt.push(n < waiting ? nowMs : nowMs + useAfterMs);
        }
        usedAt.sort((a, b) => a - b);
        for (let from = 0; from < usedAt.length; from++)
          for (let to = from; to < usedAt.length; to++) {
            const seconds = (usedAt[to]! - usedAt[from]!) / 1_000;
            expect(to - from + 1).toBeLessThanOrEqual(20 + 50 * seconds + 1e-6);
          }
      }),
      { numRuns: 300 },
    );
  });

  test("a flood from three gateways is let in at the full rate", () => {
    const bucket = rates();
    let granted = 0;
    for (let nowMs = 0; nowMs <= 4_000; nowMs += 3)
      granted += bucket.lease("k", fastRate, { wanted: 40, waiting: 10 }, nowMs).granted;
    expect(granted).toBeLessThanOrEqual(20 + 200);
    expect(granted).toBeGreaterThanOrEqual(20 + 200 - 2);
  });

  test("who comes too early is told when to come back, and finds one then", () => {
    const bucket = rates();
    const slow = { perSecond: 0.5, burst: 1 };
    const one = { wanted: 1, waiting: 1 };
    expect(bucket.lease("k", slow, one, 0)).toMatchObject({ granted: 1, retryAfterMs: 0 });
    expect(bucket.lease("k", slow, one, 500)).toMatchObject({ granted: 0, retryAfterMs: 1_500 });
    expect(bucket.lease("k", slow, one, 2_000)).toMatchObject({ granted: 1 });
  });

  test("a process that has just begun gives no burst: the one before may have given it", () => {
    const bucket = createRates({ beganAtMs: 0, keysMax: 10 });
    expect(bucket.lease("k", fastRate, { wanted: 99, waiting: 99 }, 100).granted).toBe(5);
    expect(bucket.lease("other", fastRate, { wanted: 99, waiting: 99 }, 10_000).granted).toBe(20);
  });

  test("a smaller burst holds at once", () => {
    const bucket = rates();
    bucket.lease("k", { perSecond: 50, burst: 100 }, { wanted: 1, waiting: 1 }, 0);
    expect(bucket.lease("k", { perSecond: 1, burst: 2 }, { wanted: 99, waiting: 99 }, 1).granted).toBe(2);
  });

  test("keys are bounded: a new one finds nothing until idle ones are forgotten", () => {
    const bucket = rates(2);
    const one = { wanted: 1, waiting: 1 };
    for (const key of ["a", "b"]) bucket.lease(key, fastRate, one, 0);
    expect(bucket.lease("c", fastRate, one, 1)).toMatchObject({ granted: 0, retryAfterMs: LEASE_MS });
    bucket.sweep(() => fastRate, 2);
    expect(bucket.size).toBe(2);
    bucket.sweep(() => fastRate, 1_000);
    expect(bucket.size).toBe(0);
    expect(bucket.lease("c", fastRate, one, 1_001).granted).toBe(1);
  });
});

describe("places", () => {
  const ask = (gateway: string, fields: { wanted?: number; waiting?: number; held?: number } = {}) => ({
    gateway,
    wanted: 0,
    waiting: 0,
    held: 0,
    ...fields,
  });

  test("never more are held than there are, whatever gateways want and give back", () => {
    const step = fc.record({
      gateway: fc.constantFrom("a", "b", "c"),
      waiting: fc.integer({ min: 0, max: 9 }),
      more: fc.integer({ min: 0, max: 9 }),
      ended: fc.integer({ min: 0, max: 9 }),
      afterMs: fc.integer({ min: 0, max: 200 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const places = slots();
        const held = new Map(["a", "b", "c"].map((name) => [name, 0]));
        let nowMs = 0;
        for (const { gateway, waiting, more, ended, afterMs } of steps) {
          nowMs += afterMs;
          const left = Math.max(0, held.get(gateway)! - ended);
          const { granted } = places.lease(
            "k",
            5,
            ask(gateway, { waiting, wanted: waiting + more, held: left }),
            nowMs,
          );
          held.set(gateway, left + granted);
          // The others renew in time.
          for (const [name, count] of held) places.lease("k", 5, ask(name, { held: count }), nowMs);
          expect([...held.values()].reduce((a, b) => a + b)).toBeLessThanOrEqual(5);
        }
      }),
    );
  });

  test("a gateway that is not heard from any more has none after its lease", () => {
    const places = slots();
    expect(places.lease("k", 5, ask("dead", { wanted: 5, waiting: 5 }), 0).granted).toBe(5);
    expect(places.lease("k", 5, ask("b", { wanted: 1, waiting: 1 }), SLOT_LEASE_MS - 1)).toMatchObject({
      granted: 0,
      retryAfterMs: 1_000,
    });
    expect(places.lease("k", 5, ask("b", { wanted: 9, waiting: 9 }), SLOT_LEASE_MS).granted).toBe(5);
  });

  test("a process that has just begun waits until it has heard of what is held", () => {
    const places = slots(0);
    expect(places.lease("k", 5, ask("b", { wanted: 5, waiting: 5 }), 100)).toMatchObject({ granted: 0 });
    places.lease("k", 5, ask("a", { held: 4 }), 200);
    expect(places.lease("k", 5, ask("b", { wanted: 5, waiting: 5 }), SLOT_LEASE_MS).granted).toBe(1);
  });

  test("where the limit became smaller, what becomes free is not used again", () => {
    const places = slots();
    places.lease("k", 5, ask("a", { wanted: 5, waiting: 5 }), 0);
    expect(places.lease("k", 2, ask("a", { held: 5 }), 10)).toMatchObject({ granted: 0, leaseMs: 0 });
    expect(places.lease("k", 2, ask("a", { held: 2, wanted: 1, waiting: 1 }), 20)).toMatchObject({
      granted: 0,
      leaseMs: SLOT_LEASE_MS,
    });
  });

  test("what nobody holds is forgotten", () => {
    const places = slots();
    places.lease("k", 5, ask("a", { wanted: 1, waiting: 1 }), 0);
    places.lease("gone", 5, ask("a", { wanted: 1, waiting: 1 }), 0);
    places.lease("gone", 5, ask("a"), 1);
    expect(places.size).toBe(1);
    places.sweep(SLOT_LEASE_MS);
    expect(places.size).toBe(0);
  });
});
