import { describe, expect, test } from "vitest";
import { textOf, useConnectors } from "./connector-fixture.ts";

const { one, paths } = await useConnectors();

describe("lists in pages", () => {
  const query = (...names: string[]) => names.map((name) => ({ argument: name, in: "query", name }) as const);
  const many = { items: "", pagesMax: 10 };
  const sized = { ...many, sizeParameter: "", size: 0 };
  const all = Array.from({ length: 10 }, (_each, index) => index + 1);
  const idsOf = (items: any[]) => items.map(({ id }) => id);

  test("by page", async () => {
    const { call, progress } = one(
      "/pets",
      { parameters: query("page", "limit") },
      { pagination: { style: "page", ...sized, parameter: "page" } },
    );
    const result = await call({}, { meta: { progressToken: 1 } });
    expect(idsOf(result.structuredContent.items)).toEqual(all);
    expect(result.content.length).toBe(1);
    expect(progress.length).toBeGreaterThan(3);
  });

  test("by page, of a size: the last one is known by being short", async () => {
    const pagination = { style: "page", ...sized, parameter: "page", sizeParameter: "limit", size: 4 } as const;
    const result = await one("/pets", { parameters: query("page", "limit") }, { pagination }).call();
    expect(idsOf(result.structuredContent.items)).toEqual(all);
    expect(paths()).toEqual(["/pets?limit=4", "/pets?limit=4&page=2", "/pets?limit=4&page=3"]);
  });

  test("by cursor", async () => {
    const pagination = {
      style: "cursor",
      ...sized,
      items: "/data/pets",
      cursor: "/meta/next",
      parameter: "cursor",
    } as const;
    const result = await one("/by-cursor", { parameters: query("cursor") }, { pagination }).call();
    expect(idsOf(result.structuredContent.data.pets)).toEqual(all);
    expect(result.structuredContent.meta.next).toBe(null);
  });

  test("by offset", async () => {
    const pagination = { style: "offset", ...sized, parameter: "offset" } as const;
    const result = await one("/by-offset", { parameters: query("offset") }, { pagination }).call();
    expect(idsOf(JSON.parse(textOf(result)))).toEqual(all);
  });

  test("by link", async () => {
    const result = await one("/by-link", {}, { pagination: { style: "link", ...many, cursor: "" } }).call();
    expect(idsOf(JSON.parse(textOf(result)))).toEqual(all);
  });

  test("by what the document lets guess", async () => {
    const guess = { style: "cursor", parameter: "cursor", next: "/meta/next" } as const;
    const pagination = { style: "auto", ...many, items: "/data/pets" } as const;
    const result = await one("/by-cursor", { parameters: query("cursor"), pagination: guess }, { pagination }).call();
    expect(idsOf(result.structuredContent.data.pets)).toEqual(all);
  });

  test("more than wanted: says so, and how to go on", async () => {
    const pagination = {
      style: "cursor",
      ...sized,
      pagesMax: 2,
      items: "/data/pets",
      cursor: "/meta/next",
      parameter: "cursor",
    } as const;
    const opened = one("/by-cursor", { parameters: query("cursor") }, { pagination });
    const result = await opened.call();
    expect(idsOf(result.structuredContent.data.pets)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(result.content[1].text).toBe(
      'There is more: these are the first 2 pages. To go on, call it with cursor: "8".',
    );
    expect(idsOf((await opened.call({ cursor: "8" })).structuredContent.data.pets)).toEqual([9, 10]);
  });

  test("a link to somewhere else is not followed", async () => {
    const pagination = { style: "link", ...many, cursor: "/next" } as const;
    const result = await one("/next-is-elsewhere", {}, { pagination }).call();
    expect(result.content[1].text).toBe("There is more, at another address, which is not asked.");
  });

  test("what is no list is an answer as it is", async () => {
    const pagination = { style: "link", ...many, cursor: "" } as const;
    expect((await one("/pets/1", {}, { pagination }).call()).structuredContent).toEqual({ id: 1, name: "pet 1" });
    expect((await one("/nowhere", {}, { pagination }).call()).isError).toBe(true);
  });
});
