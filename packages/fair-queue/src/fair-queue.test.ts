import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createFairQueue, shareOf } from "./fair-queue.ts";

const drain = <T>(queue: ReturnType<typeof createFairQueue<T>>): T[] => {
  const items: T[] = [];
  for (let item = queue.shift(); item !== undefined; item = queue.shift()) items.push(item);
  return items;
};

describe("a fair queue", () => {
  test("gives keys their turns by weight, each key's items in order", () => {
    const queue = createFairQueue<string>();
    for (let n = 1; n <= 6; n++) queue.push(`a${n}`, { key: "a", weight: 1 });
    for (let n = 1; n <= 4; n++) queue.push(`b${n}`, { key: "b", weight: 2 });
    expect(drain(queue)).toEqual(["a1", "b1", "b2", "a2", "b3", "b4", "a3", "a4", "a5", "a6"]);
    expect(queue.size).toBe(0);
  });

  test("a key that comes late waits for one turn of the others, however much they have", () => {
    const queue = createFairQueue<string>();
    for (let n = 0; n < 10_000; n++) queue.push("flood", { key: "flood", weight: 4 });
    for (let n = 0; n < 7; n++) queue.shift();
    queue.push("mine", { key: "mine", weight: 4 });
    const before = [];
    while (before.at(-1) !== "mine") before.push(queue.shift());
    expect(before.length).toBeLessThanOrEqual(5);
  });

  test("passes over keys that are not ready, which keep their place", () => {
    const queue = createFairQueue<string>();
    for (const item of ["a1", "a2", "b1"]) queue.push(item, { key: item[0]!, weight: 1 });
    expect(queue.shift((item) => item !== "a1")).toBe("b1");
    expect(queue.shift((item) => item !== "a1")).toBeUndefined();
    expect(queue.size).toBe(2);
    expect(drain(queue)).toEqual(["a1", "a2"]);
  });

  test("lets an item leave that does not want to wait any more", () => {
    const queue = createFairQueue<string>();
    const [leaveFirst, , leaveOther] = ["a1", "a2", "b1"].map((item) => queue.push(item, { key: item[0]!, weight: 1 }));
    expect([leaveFirst!(), leaveFirst!(), leaveOther!()]).toEqual([true, false, true]);
    expect([queue.size, queue.sizeOf("a"), queue.sizeOf("b")]).toEqual([1, 1, 0]);
    expect(drain(queue)).toEqual(["a2"]);
  });

  test("while all keys have items, each gets its share to within a turn", () => {
    const weights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(weights, fc.integer({ min: 1, max: 10 }), (given, rounds) => {
        const queue = createFairQueue<number>();
        const total = given.reduce((sum, weight) => sum + weight, 0);
        for (const [key, weight] of given.entries())
          for (let n = 0; n < total * (rounds + 1); n++) queue.push(key, { key: String(key), weight });
        const taken = given.map(() => 0);
        for (let n = 0; n < total * rounds; n++) taken[queue.shift()!]! += 1;
        expect(taken).toEqual(given.map((weight) => weight * rounds));
      }),
    );
  });

  test("lanes differ, and so do plans within a lane", () => {
    const weights = [shareOf("t", "interactive"), shareOf("t"), shareOf("t", "batch"), shareOf("t", "batch", 3)];
    expect(weights.map(({ weight }) => weight)).toEqual([8, 4, 1, 3]);
  });
});
