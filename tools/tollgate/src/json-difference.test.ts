import { expect, test } from "vitest";
import { jsonDifferences } from "./json-difference.ts";

const result = {
  content: [
    { type: "text", text: "a" },
    { type: "text", text: "b" },
  ],
  structuredContent: { n: 1, at: 5 },
};

test("the order of keys does not count, that of lists does", () => {
  const { content, structuredContent } = result;
  expect(jsonDifferences(result, { structuredContent, content }, [])).toEqual([]);
  expect(jsonDifferences([1, 2], [2, 1], [])).toEqual([
    { path: "[0]", before: "1", after: "2" },
    { path: "[1]", before: "2", after: "1" },
  ]);
});

test("each difference is told by its place, with what was and what is", () => {
  const other = { content: [{ type: "text", text: "A" }], structuredContent: { n: null, at: 5, more: {} } };
  expect(jsonDifferences(result, other, [])).toEqual([
    { path: "content[0].text", before: '"a"', after: '"A"' },
    { path: "content[1]", before: '{"type":"text","text":"b"}' },
    { path: "structuredContent.n", before: "1", after: "null" },
    { path: "structuredContent.more", after: "{}" },
  ]);
  expect(jsonDifferences({}, [], [])).toEqual([{ path: "", before: "{}", after: "[]" }]);
  expect(jsonDifferences({ toString: 1 }, {}, [])).toEqual([{ path: "toString", before: "1" }]);
});

test("what is ignored is ignored with all below it, and nothing else is", () => {
  const other = {
    content: [
      { type: "text", text: "A" },
      { type: "text", text: "B" },
    ],
    structuredContent: { n: 2, at: 6 },
  };
  const paths = (...ignored: string[]) => jsonDifferences(result, other, ignored).map(({ path }) => path);
  expect(paths("content[*].text", "structuredContent.at")).toEqual(["structuredContent.n"]);
  expect(paths("content.0", "structuredContent")).toEqual(["content[1].text"]);
  expect(paths("text", "structuredContent.a")).toHaveLength(4);
});

test("values of any depth are compared", () => {
  let [one, other]: unknown[] = [1, 2];
  for (let depth = 0; depth < 1_000; depth++) [one, other] = [{ a: one }, { a: other }];
  expect(jsonDifferences(one, other, [])).toHaveLength(1);
});
