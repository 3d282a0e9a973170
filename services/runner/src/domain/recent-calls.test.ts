import { expect, test } from "vitest";
import { createRecentCalls } from "./recent-calls.ts";

test("a call begins once, and again when it was begun in vain", () => {
  const recent = createRecentCalls(10);
  expect([recent.begin("a"), recent.begin("a"), recent.isDone("a")]).toEqual([true, false, false]);
  recent.done("a");
  expect([recent.begin("a"), recent.isDone("a")]).toEqual([false, true]);
  recent.forget("a");
  expect([recent.begin("a"), recent.isDone("a")]).toEqual([true, false]);
});

test("of too many the oldest that are done are forgotten", () => {
  const recent = createRecentCalls(3);
  for (const id of ["a", "b", "c"]) recent.begin(id);
  recent.done("b");
  recent.done("c");
  // `a` still runs: it is kept, and the next ones push out what is done.
  for (const id of ["d", "e", "f"]) recent.begin(id);
  expect(recent.begin("a")).toBe(false);
  expect(recent.isDone("b")).toBe(false);
});
