import { expect, test } from "vitest";
import { createPlaces } from "./places.ts";

test("there are so many places, and of them so many for one tenant", () => {
  const places = createPlaces({ max: 3, perTenantMax: 2 });
  const first = places.take("acme")!;
  expect(places.take("acme")).toBeDefined();
  expect(places.take("acme")).toBeUndefined();
  expect(places.take("rival")).toBeDefined();
  expect(places.take("third")).toBeUndefined();
  first();
  expect(places.take("acme")).toBeDefined();
  expect(places.taken).toBe(3);
});

test("a place is given back once", () => {
  const places = createPlaces({ max: 2, perTenantMax: 2 });
  const first = places.take("acme")!;
  places.take("acme");
  first();
  first();
  expect(places.taken).toBe(1);
});
