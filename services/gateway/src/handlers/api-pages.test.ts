import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { pageOf, pageQuery } from "./api-pages.ts";

interface Item {
  id: string;
  group: string;
  version: number;
  at: string | null;
}
const query = z.object(pageQuery(["id", "group", "version", "at"], "id"));
const keyOf = ({ id }: Item) => id;

function item(id: string, fields: Partial<Item> = {}): Item {
  return { id, group: "", version: 0, at: null, ...fields };
}

function pageIn(items: readonly Item[], asked: object = {}) {
  return pageOf(items, { ...query.parse(asked), keyOf });
}

function ids(items: readonly Item[], asked: object = {}): string[] {
  return pageIn(items, asked).items.map(keyOf);
}

/** Page after page, with what happens to the list between two of them. */
function walk(items: Item[], asked: object, between: (shown: readonly Item[]) => void = () => undefined): string[] {
  const found: string[] = [];
  for (let cursor: string | null = ""; cursor !== null;) {
    const page = pageIn(items, { ...asked, cursor });
    found.push(...page.items.map(keyOf));
    between(page.items);
    if (found.length > 1_000) throw new Error("the pages do not end");
    cursor = page.nextCursor;
  }
  return found;
}

describe("the order of a list", () => {
  const items = [
    item("c", { group: "x", version: 10 }),
    item("a", { group: "y", version: 9, at: "2026-01-01" }),
    item("b", { group: "x", version: 2, at: "2026-01-02" }),
  ];

  it("is the usual one, or by fields, each either way round, what has none last", () => {
    expect(ids(items)).toEqual(["a", "b", "c"]);
    expect(ids(items, { sort: "-id" })).toEqual(["c", "b", "a"]);
    expect(ids(items, { sort: "group,-version" })).toEqual(["c", "b", "a"]);
    expect(ids(items, { sort: "-version" })).toEqual(["c", "a", "b"]);
    expect(ids(items, { sort: "at" })).toEqual(["a", "b", "c"]);
    expect(ids(items, { sort: "-at" })).toEqual(["b", "a", "c"]);
  });

  it.each(["name", "id,", "", "--id", "id,id,id,id,id", "__proto__"])("cannot be by %j", (sort) => {
    const { success, error } = query.safeParse({ sort });
    expect([success, error?.issues[0]?.message]).toEqual([false, expect.stringContaining("id, group, version, at")]);
  });
});

describe("pages", () => {
  it("hold each item once, in order, whatever the order is", () => {
    const some = fc.record({
      id: fc.string({ unit: "grapheme", maxLength: 300 }),
      group: fc.constantFrom("x", "y", ""),
      version: fc.integer({ min: 0, max: 3 }),
      at: fc.option(fc.constantFrom("2026", "2027")),
    });
    const lists = fc.uniqueArray(some, { selector: keyOf, maxLength: 30 });
    const sorts = fc.array(fc.constantFrom("id", "-group", "group", "-version", "at", "-at"), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(lists, sorts, fc.integer({ min: 1, max: 7 }), (items, sort, limit) => {
        const asked = { sort: sort.join(","), limit };
        expect(walk(items, asked)).toEqual(ids(items, { ...asked, limit: 1_000 }));
      }),
      { seed: 7 },
    );
  });

  it("go on where they were, when what was shown is gone and something else has come", () => {
    const items = ["a", "b", "c", "d", "e"].map((id) => item(id));
    const found = walk(items, { limit: 2 }, (shown) => {
      for (const gone of shown) items.splice(items.indexOf(gone), 1);
      if (items.length === 3) items.push(item("aa"));
    });
    expect(found).toEqual(["a", "b", "c", "d", "e"]);
  });

  it("are of what holds all the words, in any of its texts", () => {
    const items = [item("one", { group: "The Blue Team" }), item("two", { group: "blue" }), item("three")];
    expect(ids(items, { q: "blue" })).toEqual(["one", "two"]);
    expect(ids(items, { q: " BLUE  on " })).toEqual(["one"]);
    // The name of a field is none of its texts.
    expect(ids(items, { q: "group" })).toEqual([]);
    expect(pageIn(items, { q: "blue", limit: 2 }).nextCursor).toBeNull();
  });

  it.each([
    ["forged", "not one of this list"],
    [Buffer.from("{}").toString("base64url"), "not one of this list"],
    [Buffer.from('["id"]').toString("base64url"), "not one of this list"],
    [Buffer.from('["id",{},"a"]').toString("base64url"), "not one of this list"],
    [Buffer.from('["group","x","a"]').toString("base64url"), "sorted otherwise"],
  ])("are not behind the cursor %s", (cursor, message) => {
    expect(() => pageIn([item("a")], { cursor })).toThrow(message);
  });
});
