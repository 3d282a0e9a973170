import fc from "fast-check";
import { expect, test } from "vitest";
import { createPlaces } from "./places.ts";

const settled = async (promise: Promise<unknown>) => {
  let done = false;
  void promise.then(() => (done = true));
  await new Promise((resolve) => setImmediate(resolve));
  return done;
};

test("so many at the same time, so many that wait, in their order", async () => {
  const places = createPlaces({ name: "server s", max: 1, waitingMax: 2 });
  await places.enter();
  const order: number[] = [];
  const waiting = [1, 2].map((n) => places.enter().then(() => order.push(n)));
  await expect(places.enter()).rejects.toMatchObject({
    code: "overloaded",
    message: "server s: 2 calls are waiting already; try again later",
  });
  places.leave();
  await waiting[0];
  expect([order, places.taken]).toEqual([[1], 1]);
  places.leave();
  await waiting[1];
  places.leave();
  expect([order, places.taken]).toEqual([[1, 2], 0]);
});

test("is emptied when the last one leaves", async () => {
  const places = createPlaces({ name: "s", max: 1, waitingMax: 5 });
  expect(await settled(places.emptied())).toBe(true);
  await places.enter();
  const next = places.enter();
  const emptied = places.emptied();
  places.leave();
  await next;
  expect(await settled(emptied)).toBe(false);
  places.leave();
  expect(await settled(emptied)).toBe(true);
});

test("opening lets everybody in", async () => {
  const places = createPlaces({ name: "s", max: 1, waitingMax: 5 });
  await places.enter();
  const waiting = [places.enter(), places.enter()];
  places.open();
  await Promise.all(waiting);
  expect(places.taken).toBe(3);
});

test("whoever enters and leaves in whatever order, never more than max are in", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 60 }), fc.integer({ min: 1, max: 4 }), async (steps, max) => {
      const places = createPlaces({ name: "s", max, waitingMax: 100 });
      let inside = 0;
      for (const enter of steps) {
        if (enter) void places.enter().then(() => (inside += 1));
        else if (inside > 0) {
          inside -= 1;
          places.leave();
        }
        await new Promise((resolve) => setImmediate(resolve));
        expect(inside).toBeLessThanOrEqual(max);
        expect(places.taken).toBe(inside);
      }
    }),
  );
});
