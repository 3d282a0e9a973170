import { expect, test } from "vitest";
import { parseRetryAfterMs, retryWaitMs } from "./retry.ts";

test("waits grow by the base, vary by half, and have a bound", () => {
  expect([1, 2, 3].map((attempt) => retryWaitMs({ attempt, base: 2, random: 1 }))).toEqual([250, 500, 1_000]);
  expect(retryWaitMs({ attempt: 2, base: 2, random: 0 })).toBe(250);
  expect(retryWaitMs({ attempt: 10, base: 10, random: 1 })).toBe(30_000);
});

test("reads Retry-After as seconds or as a date", () => {
  const now = Date.parse("2026-11-01T00:00:00Z");
  expect(parseRetryAfterMs("3", now)).toBe(3_000);
  expect(parseRetryAfterMs("Sun, 01 Nov 2026 00:00:10 GMT", now)).toBe(10_000);
  expect(parseRetryAfterMs("Sat, 31 Oct 2026 00:00:00 GMT", now)).toBe(0);
  expect(parseRetryAfterMs("soon", now)).toBeUndefined();
  expect(parseRetryAfterMs(undefined, now)).toBeUndefined();
});
