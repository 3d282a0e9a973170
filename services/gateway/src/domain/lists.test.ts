import { describe, expect, test } from "vitest";
import { registryServer, registryTool, snapshotOf } from "../../test/sample-catalogue.ts";
import { type Item, toCatalogue } from "./catalogue.ts";
import {
  inPageOrder,
  type Key,
  type Listing,
  LISTS,
  PAGE_ITEMS_MAX,
  pageResult,
  parseCursor,
  startAfter,
} from "./lists.ts";

const names = Array.from({ length: 2_500 }, (_each, i) => `t${i}`);
const { servers } = toCatalogue(
  snapshotOf([
    registryServer({ id: "many", tools: names.map((name) => registryTool(name)) }),
    registryServer({ id: "more", tools: [registryTool("t0"), registryTool("a")] }),
    registryServer({ id: "broken", status: "unavailable", reason: 'no "licence"' }),
  ]),
);
const itemsOf = (server: string) => [...servers.get(server)!.items.tool.values()];
const items = itemsOf("many");
const list = LISTS["tools/list"]!;

function page(parts: Partial<Listing>, after: Key | "start" = "start", era: "legacy" | "modern" = "legacy"): any {
  const listing: Listing = { list, items, prefixed: true, unavailable: [], ...parts };
  const ordered = inPageOrder(listing, after === "start" ? undefined : after);
  return JSON.parse(pageResult(listing, { ordered, start: after === "start" ? 0 : startAfter(ordered, after), era }));
}

/** All names, page by page; `change` says what the list is before each page after the first. */
function follow(first: readonly Item[], change: (pages: number) => readonly Item[] = () => first) {
  const found: string[] = [];
  const sizes: number[] = [];
  let now = first;
  for (let after: Key | "start" | undefined = "start"; after !== undefined; now = change(sizes.length)) {
    const { tools, nextCursor } = page({ items: now }, after);
    found.push(...tools.map((tool: any) => tool.name));
    sizes.push(tools.length);
    after = nextCursor === undefined ? undefined : parseCursor(nextCursor)!;
  }
  return { found, sizes };
}

describe("pages", () => {
  test("cover all tools once and end", () => {
    const { found, sizes } = follow(items);
    expect(found.toSorted()).toEqual(names.map((name) => `many__${name}`).toSorted());
    expect(sizes).toEqual(Array.from({ length: 10 }, () => PAGE_ITEMS_MAX));
  });

  test("that end exactly, or are empty, have no next; one page is in its servers' order", () => {
    const one = items.slice(0, PAGE_ITEMS_MAX);
    expect(page({ items: one })).not.toHaveProperty("nextCursor");
    expect(page({ items: one }).tools.map((tool: any) => tool.name)).toEqual(one.map(({ name }) => `many__${name}`));
    expect(page({ items: [] })).toEqual({ tools: [] });
    expect(page({ items }, { server: "many", name: "zzz" })).toEqual({ tools: [] });
  });

  test("go on where they were when items come and go in between: nothing twice, nothing that stays is left out", () => {
    const removed = new Set(items.filter((_item, i) => i % 7 === 0));
    const rest = [...itemsOf("more"), ...items.filter((item) => !removed.has(item)).toReversed()];
    const { found } = follow(items, () => rest);
    expect(new Set(found).size).toBe(found.length);
    const stays = rest.filter(({ server }) => server === "many").map(({ name }) => `many__${name}`);
    expect(stays.filter((name) => !found.includes(name))).toEqual([]);
  });

  test("go on when the list has become so short that it fits on one", () => {
    const { found } = follow(items, () => items.slice(0, 20));
    const kept = items.slice(0, 20).map(({ name }) => `many__${name}`);
    expect(new Set(found).size).toBe(found.length);
    expect(kept.filter((name) => !found.includes(name))).toEqual([]);
  });
});

test("at one server's route names have no prefix", () => {
  expect(page({ prefixed: false, items: items.slice(0, 1) }).tools[0].name).toBe("t0");
});

test("what is missing is said, with the reason", () => {
  const unavailable = [servers.get("broken")!];
  expect(page({ items: [], unavailable })).toEqual({
    tools: [],
    _meta: { "tollgate/unavailable": [{ server: "broken", status: "unavailable", reason: 'no "licence"' }] },
  });
});

test("only a modern client gets what its revision demands", () => {
  const modern = { resultType: "complete", ttlMs: 0, cacheScope: "private" };
  expect(page({ items: [] }, "start", "modern")).toEqual({ tools: [], ...modern });
  expect(page({ items: [] })).toEqual({ tools: [] });
});

const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

test.each([
  [undefined, "start"],
  [encoded(["one", "file:///ä"]), { server: "one", name: "file:///ä" }],
  ["", undefined],
  ["1000", undefined],
  [encoded(["one"]), undefined],
  [encoded(["one", 1]), undefined],
  [encoded({ server: "one", name: "x" }), undefined],
  [`${encoded(["one", "x"])}=`, undefined],
  ["a".repeat(10_000), undefined],
  [1_000, undefined],
  [null, undefined],
  [["1"], undefined],
  [{ toString: 1 }, undefined],
])("the cursor %j stands for %j", (cursor, key) => {
  expect(parseCursor(cursor)).toEqual(key);
});
