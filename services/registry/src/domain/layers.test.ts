import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  driftOf,
  type EntryValue,
  hashEntry,
  isAppliedFile,
  isSameValue,
  keyOf,
  type Layers,
  layersByApi,
  layersByFile,
  overlayOf,
  valueInForce,
} from "./layers.ts";

const KEY = { kind: "server", id: "files" } as const;
let salts = 0;
const newSalt = () => `salt-${salts++}`;

/** What is known, as a store would keep it. */
function applied(known: Map<string, Layers>, changes: readonly Layers[]): Map<string, Layers> {
  return new Map([...known, ...changes.map((each) => [keyOf(each), each] as const)]);
}

describe("hashes", () => {
  test("are the same for the same value in another order of keys, and for no other", () => {
    expect(hashEntry({ a: 1, b: { c: [1, 2], d: "" } }, "s")).toBe(hashEntry({ b: { d: "", c: [1, 2] }, a: 1 }, "s"));
    expect(hashEntry({ a: [1, 2] }, "s")).not.toBe(hashEntry({ a: [2, 1] }, "s"));
    expect(hashEntry({ a: 1 }, "s")).not.toBe(hashEntry({ a: 1 }, "t"));
  });
});

/** Somebody's word: the file's (undefined: it does not have the entry) or the API's (undefined: it takes it away). */
const word = fc.record({
  by: fc.constantFrom("file" as const, "api" as const),
  value: fc.option(
    fc.integer({ min: 0, max: 3 }).map((n): EntryValue => ({ id: "files", n })),
    { nil: undefined },
  ),
});

test("in force is the newest word: the file's counts when it is another than before, the API's always", () => {
  fc.assert(
    fc.property(fc.array(word, { maxLength: 12 }), (words) => {
      let known = new Map<string, Layers>();
      let file: EntryValue | undefined;
      let expected: EntryValue | undefined;
      for (const { by, value } of words) {
        if (by === "file") {
          const isOther = value === undefined || file === undefined ? value !== file : !isSameValue(value, file);
          if (isOther) expected = value;
          file = value;
          const said = value === undefined ? [] : [{ ...KEY, value }];
          known = applied(known, layersByFile(known, said, newSalt));
          expect(isAppliedFile(known, said)).toBe(true);
        } else {
          expected = value;
          const change = layersByApi(known.get(keyOf(KEY)), { ...KEY, value }, file);
          if (change !== undefined) known = applied(known, [change]);
        }
        const layers = known.get(keyOf(KEY));
        const inForce = layers && valueInForce(layers, file);
        expect(inForce).toEqual(expected);
        // There is drift exactly where the file does not say what is in force.
        const isFiles = inForce === undefined || file === undefined ? inForce === file : isSameValue(inForce, file);
        expect(layers === undefined ? "" : driftOf(layers)).toBe(
          isFiles ? "" : file === undefined ? "added" : inForce === undefined ? "removed" : "changed",
        );
        expect(overlayOf(known.values())).toHaveLength(isFiles ? 0 : 1);
      }
    }),
  );
});

test("the same again changes nothing, whoever says it", () => {
  const value = { id: "files", n: 1 };
  const known = applied(new Map(), layersByFile(new Map(), [{ ...KEY, value }], newSalt));
  expect(layersByFile(known, [{ ...KEY, value: { n: 1, id: "files" } }], newSalt)).toEqual([]);
  expect(layersByApi(known.get(keyOf(KEY)), { ...KEY, value }, value)).toBeUndefined();
  expect(layersByApi(undefined, { ...KEY, value: undefined }, undefined)).toBeUndefined();
});
