import { expect, test } from "vitest";
import { createBoundedMap } from "./bounded-map.ts";

/** An entry with a key of one character has 256 bytes beside it. */
const KEPT = 1_000;
const value = (bytes: number) => ({ bytes: bytes - 257 });
const create = () => createBoundedMap<{ bytes: number }>(KEPT, ({ bytes }) => bytes);

test("what was used last stays when there is more than may be", () => {
  const kept = create();
  kept.set("a", value(400));
  kept.set("b", value(400));
  expect(kept.get("a")).toBeDefined();
  kept.set("c", value(400));
  expect(["a", "b", "c"].map((key) => kept.get(key) !== undefined)).toEqual([true, false, true]);
});

test("one that is too large is not kept, and one that is put again counts once", () => {
  const kept = create();
  kept.set("l", value(KEPT + 1));
  expect(kept.get("l")).toBeUndefined();
  for (let i = 0; i < 5; i++) kept.set("s", value(600));
  kept.set("o", value(400));
  expect([kept.get("s"), kept.get("o")]).toEqual([value(600), value(400)]);
  kept.clear();
  expect(kept.get("s")).toBeUndefined();
  kept.set("w", value(KEPT));
  expect(kept.get("w")).toBeDefined();
});

test("empty ones and long keys count as well", () => {
  const kept = create();
  const keys = Array.from({ length: 20 }, (_each, n) => `${n}`);
  for (const key of keys) kept.set(key, { bytes: 0 });
  expect(keys.filter((key) => kept.get(key) !== undefined)).toEqual(keys.slice(-3));
  kept.set("long".repeat(KEPT), { bytes: 0 });
  expect(kept.get("long".repeat(KEPT))).toBeUndefined();
});

test("what is dropped makes room", () => {
  const kept = create();
  for (const key of ["a", "b"]) kept.set(key, value(500));
  kept.drop((each) => each === kept.get("a"));
  kept.set("c", value(500));
  expect(["a", "b", "c"].map((key) => kept.get(key) !== undefined)).toEqual([false, true, true]);
});
