import { expect, test } from "vitest";
import { createKeptBytes } from "./kept-bytes.ts";

const bytes = (length: number) => Buffer.alloc(length);

test("what was used last stays when there are more bytes than may be", () => {
  const kept = createKeptBytes(100);
  kept.set("a", bytes(40));
  kept.set("b", bytes(40));
  expect(kept.get("a")).toHaveLength(40);
  kept.set("c", bytes(40));
  expect([kept.get("a"), kept.get("b"), kept.get("c")].map((each) => each?.length)).toEqual([40, undefined, 40]);
});

test("one that is too large is not kept, and one that is put again counts once", () => {
  const kept = createKeptBytes(100);
  kept.set("large", bytes(101));
  expect(kept.get("large")).toBeUndefined();
  for (let i = 0; i < 5; i++) kept.set("same", bytes(60));
  kept.set("other", bytes(40));
  expect([kept.get("same")?.length, kept.get("other")?.length]).toEqual([60, 40]);
  kept.clear();
  expect(kept.get("same")).toBeUndefined();
  kept.set("whole", bytes(100));
  expect(kept.get("whole")).toHaveLength(100);
});
