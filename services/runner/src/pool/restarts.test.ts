import { testLog } from "@tollgate/testkit";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createRestarts } from "./restarts.ts";

let starts: number;
let reasons: string[];
let changes: string[];
let restarts: ReturnType<typeof createRestarts>;
beforeEach(() => {
  // Minutes of backoff, in no time.
  vi.useFakeTimers();
  starts = 0;
  reasons = [];
  changes = [];
  restarts = createRestarts({
    start: () => (starts += 1),
    onUnavailable: (reason) => reasons.push(reason),
    onChange: (state) => changes.push(state),
    log: testLog,
  });
});
afterEach(() => {
  restarts.stop();
  vi.useRealTimers();
});

/** How long it waits, after a failure, until it starts again. */
function waitAfterFailure(): number {
  const from = Date.now();
  restarts.failed("no");
  vi.advanceTimersToNextTimer();
  return Date.now() - from;
}

test("failed starts are repeated after waits that double, up to a bound", () => {
  const waits = Array.from({ length: 10 }, waitAfterFailure);
  for (const [i, wait] of waits.entries()) {
    const backoff = Math.min(1_000 * 2 ** i, 60_000);
    expect(wait).toBeGreaterThanOrEqual(backoff * 0.75 - 1);
    expect(wait).toBeLessThanOrEqual(backoff * 1.25 + 1);
  }
  expect(reasons).toHaveLength(10);
});

test("while it waits it says why", () => {
  restarts.failed("no licence");
  expect(restarts.problem).toBe("no licence");
  vi.advanceTimersByTime(1_250);
  expect(restarts.problem).toBeUndefined();
  restarts.failed("no licence");
  restarts.recovered();
  expect(restarts.problem).toBeUndefined();
});

test("a process that ends is replaced at once, one that ends soon after that is not", () => {
  restarts.died("exited with code 1", 5);
  expect([starts, reasons]).toEqual([1, []]);
  restarts.died("exited with code 1", 29_000);
  expect([starts, reasons]).toEqual([1, ["the server exited with code 1"]]);
  vi.advanceTimersByTime(1_250);
  expect(starts).toBe(2);
});

test("a long healthy life makes up for everything", () => {
  restarts.died("x", 5);
  for (let i = 0; i < 6; i++) waitAfterFailure();
  restarts.died("x", 30_000);
  expect(starts).toBe(8);
  restarts.died("x", 5);
  expect(restarts.problem).toBe("the server x");
  vi.advanceTimersByTime(1_250);
  expect(starts).toBe(9);
});

test("when stopped nothing starts any more", () => {
  restarts.failed("no");
  restarts.stop();
  restarts.failed("no");
  vi.advanceTimersByTime(600_000);
  expect([starts, reasons]).toEqual([0, ["no"]]);
});

test("five ends in a row are a crash loop, until it has lived for a while", () => {
  for (let i = 0; i < 4; i++) waitAfterFailure();
  restarts.failed("no");
  expect(restarts.state).toBe("crash-loop");
  expect(reasons.at(-1)).toMatch(/^it ended 5 times in a row, last: no; next try in 1\d|2\d s$/);
  vi.advanceTimersToNextTimer();
  restarts.recovered();
  expect(restarts.state).toBeUndefined();
  vi.advanceTimersByTime(30_000);
  restarts.failed("no");
  expect([restarts.state, reasons.at(-1)]).toEqual(["unavailable", "no"]);
});

test("of a crash loop is told once, and that it is over when a process has lived", () => {
  for (let i = 0; i < 7; i++) waitAfterFailure();
  expect(changes).toEqual(["crash_loop"]);
  restarts.recovered();
  vi.advanceTimersByTime(29_000);
  restarts.died("x", 29_000);
  restarts.recovered();
  vi.advanceTimersByTime(29_999);
  expect(changes).toEqual(["crash_loop"]);
  vi.advanceTimersByTime(1);
  expect(changes).toEqual(["crash_loop", "recovered"]);
});

test("one that only was not there is there again at once", () => {
  restarts.failed("no");
  restarts.recovered();
  restarts.recovered();
  expect(changes).toEqual(["recovered"]);
});

test("starts that fail together are one failure", () => {
  for (let i = 0; i < 10; i++) restarts.failed("no");
  expect([restarts.state, reasons]).toEqual(["unavailable", ["no"]]);
});
