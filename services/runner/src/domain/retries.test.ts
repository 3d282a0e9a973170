import { expect, test } from "vitest";
import { backoffMs, mayRunAgain, WAITS_MAX } from "./retries.ts";

test("waits double, give or take a quarter", () => {
  const waits = Array.from({ length: WAITS_MAX }, (_each, n) => [backoffMs(n, 0), backoffMs(n, 1)]);
  expect(waits.slice(0, 3)).toEqual([
    [75, 125],
    [150, 250],
    [300, 500],
  ]);
  expect(waits.at(-1)).toEqual([2_400, 4_000]);
});

test("a call may run again when none of its tools minds", () => {
  const fallback = { server: "b", tool: "t", decision: { allow: true, policies: [], revision: 1, reason: "" } };
  const [safe, unsafe] = [true, false].map((retrySafe) => ({ ...fallback, retrySafe }));
  expect(mayRunAgain({ retrySafe: true })).toBe(true);
  expect(mayRunAgain({ retrySafe: true, fallbacks: [safe!, safe!] })).toBe(true);
  expect(mayRunAgain({ retrySafe: true, fallbacks: [safe!, unsafe!] })).toBe(false);
  expect(mayRunAgain({ retrySafe: false, fallbacks: [safe!] })).toBe(false);
});
