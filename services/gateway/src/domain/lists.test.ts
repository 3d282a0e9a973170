import { describe, expect, test } from "vitest";
import { registryServer, registryTool, snapshotOf } from "../../test/sample-catalogue.ts";
import { toCatalogue } from "./catalogue.ts";
import { listResult, parseCursor } from "./lists.ts";

const names = Array.from({ length: 2_500 }, (_each, i) => `t${i}`);
const { servers } = toCatalogue(
  snapshotOf([
    registryServer({ id: "many", tools: names.map((name) => registryTool(name)) }),
    registryServer({ id: "broken", status: "unavailable", reason: 'no "licence"' }),
  ]),
);
const items = [...servers.get("many")!.items.tool.values()];
const list = (options: Partial<Parameters<typeof listResult>[0]>) =>
  JSON.parse(
    listResult({ member: "tools", items, prefixed: true, unavailable: [], offset: 0, era: "legacy", ...options }),
  );

describe("pages", () => {
  test("cover all tools once and end", () => {
    const found: string[] = [];
    const sizes: number[] = [];
    for (let cursor: string | undefined = "0"; cursor !== undefined;) {
      const page: any = list({ offset: parseCursor(cursor)! });
      found.push(...page.tools.map((tool: any) => tool.name));
      sizes.push(page.tools.length);
      cursor = page.nextCursor;
    }
    expect(found).toEqual(names.map((name) => `many__${name}`));
    expect(sizes).toEqual([1_000, 1_000, 500]);
  });

  test("that end exactly, are empty, or begin past the end have no next", () => {
    for (const page of [{ items: items.slice(0, 1_000) }, { items: [] }, { offset: 9_999_999 }])
      expect(list(page)).not.toHaveProperty("nextCursor");
    expect(list({ offset: 9_999_999 }).tools).toEqual([]);
  });
});

test("at one server's route names have no prefix", () => {
  expect(list({ prefixed: false, items: items.slice(0, 1) }).tools[0].name).toBe("t0");
});

test("what is missing is said, with the reason", () => {
  const unavailable = [servers.get("broken")!];
  expect(list({ items: [], unavailable })).toEqual({
    tools: [],
    _meta: { "tollgate/unavailable": [{ server: "broken", status: "unavailable", reason: 'no "licence"' }] },
  });
});

test("only a modern client gets what its revision demands", () => {
  const modern = { resultType: "complete", ttlMs: 0, cacheScope: "private" };
  expect(list({ items: [], era: "modern" })).toEqual({ tools: [], ...modern });
  expect(list({ items: [], era: "legacy" })).toEqual({ tools: [] });
});

test.each([
  [undefined, 0],
  ["0", 0],
  ["1000", 1_000],
  ["", undefined],
  ["-1", undefined],
  ["1.5", undefined],
  ["1e3", undefined],
  ["12345678", undefined],
  [" 1", undefined],
  [1_000, undefined],
  [null, undefined],
  [["1"], undefined],
  [{ toString: 1 }, undefined],
])("the cursor %j begins at %j", (cursor, offset) => {
  expect(parseCursor(cursor)).toBe(offset);
});
