import { AppError } from "@tollgate/errors";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createBatcher } from "./batcher.ts";

/** A receiver that keeps each batch until the test answers it. */
function heldBatcher(bounds: { itemsMax?: number; bytesMax?: number; inFlightMax?: number; waitingMax?: number } = {}) {
  const sent: { items: string[]; resolve: () => void; reject: (error: Error) => void }[] = [];
  const batcher = createBatcher<string>({
    name: "items",
    send: (items) => new Promise((resolve, reject) => sent.push({ items, resolve, reject })),
    itemsMax: 10,
    bytesMax: 1_000,
    inFlightMax: 1,
    waitingMax: 100,
    ...bounds,
  });
  return { batcher, sent };
}

const nextTick = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("a batcher", () => {
  it("sends a lone item without waiting for others", async () => {
    const { batcher, sent } = heldBatcher();
    const pushed = batcher.push("a", 1);
    await nextTick();
    expect(sent.map(({ items }) => items)).toEqual([["a"]]);
    sent[0]!.resolve();
    await expect(pushed).resolves.toBeUndefined();
  });

  it("sends together what becomes ready in one tick, in its order", async () => {
    const { batcher, sent } = heldBatcher();
    for (const item of ["a", "b", "c"]) void batcher.push(item, 1);
    expect(batcher.size).toBe(3);
    await nextTick();
    expect(sent.map(({ items }) => items)).toEqual([["a", "b", "c"]]);
    expect(batcher.size).toBe(0);
  });

  it("lets what comes while messages are on their way share the next one", async () => {
    const { batcher, sent } = heldBatcher({ inFlightMax: 2 });
    for (const item of ["a", "b", "c", "d", "e"]) {
      void batcher.push(item, 1);
      await nextTick();
    }
    expect(sent.map(({ items }) => items)).toEqual([["a"], ["b"]]);
    sent[1]!.resolve();
    await nextTick();
    await nextTick();
    expect(sent.map(({ items }) => items)).toEqual([["a"], ["b"], ["c", "d", "e"]]);
  });

  it("never makes a batch of more items or bytes than it may, except of one item", async () => {
    const { batcher, sent } = heldBatcher({ itemsMax: 3, bytesMax: 10, inFlightMax: 100 });
    const bytes = [4, 4, 4, 25, 1, 1, 1, 1];
    for (const [at, size] of bytes.entries()) void batcher.push(String(at), size);
    await nextTick();
    expect(sent.map(({ items }) => items)).toEqual([["0", "1"], ["2"], ["3"], ["4", "5", "6"], ["7"]]);
  });

  it("refuses at once when too many wait, and takes items again when there is room", async () => {
    const { batcher, sent } = heldBatcher({ waitingMax: 2, itemsMax: 1 });
    void batcher.push("under way", 1);
    await nextTick();
    void batcher.push("first", 1);
    void batcher.push("second", 1);
    await expect(batcher.push("third", 1)).rejects.toMatchObject({ code: "overloaded", retryable: true });
    sent[0]!.resolve();
    await nextTick();
    await nextTick();
    void batcher.push("fourth", 1);
    expect(batcher.size).toBe(2);
    expect(sent.map(({ items }) => items)).toEqual([["under way"], ["first"]]);
  });

  it("tells exactly the items of a batch that it failed, and goes on", async () => {
    const { batcher, sent } = heldBatcher({ itemsMax: 2, inFlightMax: 2 });
    const outcomes = ["a", "b", "c", "d", "e"].map((item) =>
      batcher.push(item, 1).then(
        () => `${item} sent`,
        (error: Error) => `${item} ${error.message}`,
      ),
    );
    await nextTick();
    sent[0]!.reject(new AppError("overloaded", "refused"));
    await nextTick();
    await nextTick();
    sent[1]!.resolve();
    sent[2]!.resolve();
    expect(await Promise.all(outcomes)).toEqual(["a refused", "b refused", "c sent", "d sent", "e sent"]);
  });

  it("tells the items of a batch that cannot even be made, and goes on", async () => {
    const batcher = createBatcher<string>({
      name: "items",
      send: (items) => {
        if (items.includes("bad")) throw new Error("cannot be written");
        return Promise.resolve();
      },
      itemsMax: 1,
      bytesMax: 100,
      inFlightMax: 1,
      waitingMax: 10,
    });
    const bad = batcher.push("bad", 1);
    const good = batcher.push("good", 1);
    await expect(bad).rejects.toThrow("cannot be written");
    await expect(good).resolves.toBeUndefined();
  });

  it("sends every item once, in order and within every bound, whatever comes when", async () => {
    const step = fc.oneof(
      fc.record({ bytes: fc.integer({ min: 1, max: 40 }) }),
      fc.constant("answer" as const),
      fc.constant("fail" as const),
    );
    const bounds = fc.record({
      itemsMax: fc.integer({ min: 1, max: 5 }),
      bytesMax: fc.integer({ min: 1, max: 60 }),
      inFlightMax: fc.integer({ min: 1, max: 3 }),
      waitingMax: fc.integer({ min: 1, max: 20 }),
    });
    await fc.assert(
      fc.asyncProperty(bounds, fc.array(step, { maxLength: 40 }), async (given, steps) => {
        const { batcher, sent } = heldBatcher(given);
        const outcomes = new Map<string, string>();
        const bytesOf = new Map<string, number>();
        let pushed = 0;
        let answered = 0;
        const answer = (how: "resolve" | "reject"): void => {
          const next = sent[answered];
          if (next === undefined) return;
          answered += 1;
          if (how === "resolve") next.resolve();
          else next.reject(new Error("failed"));
        };
        for (const each of steps) {
          if (each === "answer" || each === "fail") answer(each === "answer" ? "resolve" : "reject");
          else {
            const item = String(pushed++);
            bytesOf.set(item, each.bytes);
            batcher.push(item, each.bytes).then(
              () => outcomes.set(item, "sent"),
              (error: Error) => outcomes.set(item, error.message === "failed" ? "failed" : "refused"),
            );
          }
          expect(sent.length - answered).toBeLessThanOrEqual(given.inFlightMax);
          expect(batcher.size).toBeLessThanOrEqual(given.waitingMax);
          await nextTick();
        }
        while (batcher.size > 0 || answered < sent.length) {
          answer("resolve");
          await nextTick();
        }
        await nextTick();
        const arrived = sent.flatMap(({ items }) => items);
        const taken = [...outcomes].filter(([, outcome]) => outcome !== "refused").map(([item]) => Number(item));
        expect(arrived.map(Number)).toEqual(taken.toSorted((a, b) => a - b));
        expect(outcomes.size).toBe(pushed);
        for (const { items } of sent) {
          const bytes = items.reduce((sum, item) => sum + bytesOf.get(item)!, 0);
          expect(items.length).toBeLessThanOrEqual(given.itemsMax);
          if (items.length > 1) expect(bytes).toBeLessThanOrEqual(given.bytesMax);
        }
      }),
      { numRuns: 60 },
    );
  });
});
