import { describe, expect, test, vi } from "vitest";
import { createFairGate } from "./fair-gate.ts";

const share = (key: string, weight = 1) => ({ key, weight });
const gateOf = (options: { max?: number; perKey?: number; waiting?: number; waitMs?: number } = {}) => {
  const { max = 2, perKey = max, waiting = 10, waitMs = 60_000 } = options;
  return createFairGate({ name: "calls", max, limitsOf: () => ({ max: perKey, waiting }), waitMs });
};

describe("a fair gate", () => {
  test("lets in at once while there is room, then by turns", async () => {
    const gate = gateOf();
    expect([gate.enter(share("a")), gate.enter(share("a"))]).toEqual([undefined, undefined]);
    const order: string[] = [];
    const waiting = ["a", "a", "a", "b"].map((key) => gate.enter(share(key))!.then(() => order.push(key)));
    expect([gate.inside, gate.waiting]).toEqual([2, 4]);
    for (const key of ["a", "a", "a", "b", "a", "a"]) {
      gate.leave(key);
      await new Promise(setImmediate);
    }
    await Promise.all(waiting);
    expect(order).toEqual(["a", "b", "a", "a"]);
    expect([gate.inside, gate.waiting]).toEqual([0, 0]);
  });

  test("keeps room for others than the one that has its own full", () => {
    const gate = gateOf({ max: 3, perKey: 2 });
    expect([gate.enter(share("a")), gate.enter(share("a"))]).toEqual([undefined, undefined]);
    const third = gate.enter(share("a"));
    expect(third).toBeInstanceOf(Promise);
    expect(gate.enter(share("b"))).toBeUndefined();
    gate.leave("a");
    return third;
  });

  test("refuses who would be one too many to wait, and says when to come again", () => {
    const gate = gateOf({ max: 1, waiting: 1 });
    void gate.enter(share("a"));
    void gate.enter(share("a"))!.catch(() => undefined);
    expect(() => gate.enter(share("a"))).toThrow("there are too many calls already, and 1 wait; try again in 1 s");
    // Another's queue is its own.
    expect(gate.enter(share("b"))).toBeInstanceOf(Promise);
  });

  test("says why in the words of its owner", () => {
    const reasonOf = (key: string, inside: number) => `${key} has ${inside}`;
    const gate = createFairGate({
      name: "calls",
      max: 1,
      limitsOf: () => ({ max: 1, waiting: 0 }),
      waitMs: 1,
      reasonOf,
    });
    void gate.enter(share("a"));
    expect(() => gate.enter(share("a"))).toThrow("a has 1; try again in 1 s");
    expect(() => gate.enter(share("b"))).toThrow("b has 0; try again in 1 s");
  });

  test("refuses who has waited too long, and whose caller has gone; neither takes a place", async () => {
    vi.useFakeTimers();
    try {
      const gate = gateOf({ max: 1, waitMs: 500 });
      void gate.enter(share("a"));
      const gone = new AbortController();
      const late = gate.enter(share("a"))!.catch((error: Error) => error.message);
      const left = gate.enter(share("a"), gone.signal)!.catch((error: Error) => error.message);
      gone.abort(new Error("gone"));
      vi.advanceTimersByTime(501);
      expect(await late).toBe("waited 500 ms: there are too many calls already; try again in 1 s");
      expect(await left).toBe("gone");
      expect(gate.waiting).toBe(0);
      gate.leave("a");
      expect(gate.enter(share("b"))).toBeUndefined();
    } finally {
      vi.useRealTimers();
    }
  });
});
