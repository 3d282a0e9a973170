import { shareOf } from "@tollgate/fair-queue";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createTurns } from "./request-turns.ts";

const limit = { requests: 1, perMs: 1_000, burst: 1, waitingMax: 32 };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

/** What has become of each request, in the order in which that was known. */
function track() {
  const enter = createTurns(limit);
  const left: string[] = [];
  const refused: any[] = [];
  const ask = (tenant: string, { signal }: AbortController = new AbortController()) =>
    void enter(shareOf(tenant, "batch"), signal).then(
      () => left.push(tenant),
      (error: unknown) => refused.push(error),
    );
  return { ask, left, refused };
}

test("tenants take turns at the rate, whoever came first", async () => {
  const { ask, left } = track();
  for (const tenant of ["flood", "flood", "flood", "flood", "other", "other"]) ask(tenant);
  await vi.advanceTimersByTimeAsync(1_999);
  expect(left).toEqual(["flood", "flood"]);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(left).toEqual(["flood", "flood", "other", "flood", "other", "flood"]);
});

test("a tenant does not take all the places to wait, nor do two", async () => {
  const { ask, left, refused } = track();
  for (const tenant of ["one", "two"]) for (let count = 0; count < 40; count += 1) ask(tenant);
  ask("other");
  await vi.advanceTimersByTimeAsync(40_000);
  const countOf = (tenant: string) => left.filter((each) => each === tenant).length;
  expect(["one", "two", "other"].map(countOf)).toEqual([1 + 24, 6, 1]);
  expect(refused[0]).toMatchObject({ code: "overloaded", details: { retryAfterSeconds: 25 } });
  expect(refused[0].message).toMatch(/24 calls of the tenant wait/);
});

test("who gives up leaves the time to the next one, or to whoever comes later", async () => {
  const { ask, left, refused } = track();
  const leaving = new AbortController();
  ask("first");
  ask("leaves", leaving);
  ask("stays");
  await vi.advanceTimersByTimeAsync(500);
  leaving.abort(new Error("given up"));
  await vi.advanceTimersByTimeAsync(500);
  expect(left).toEqual(["first", "stays"]);
  const alone = new AbortController();
  ask("alone", alone);
  alone.abort(new Error("given up"));
  await vi.advanceTimersByTimeAsync(1_000);
  ask("later");
  await vi.advanceTimersByTimeAsync(0);
  expect(left).toEqual(["first", "stays", "later"]);
  expect(refused.map(({ message }) => message)).toEqual(["given up", "given up"]);
});
