import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeHeader, encodeHeader, findParamHeaders, paramHeaderProblem, paramValue } from "./headers.ts";

test("values are encoded as in the specification's table", () => {
  expect(encodeHeader("us-west1")).toBe("us-west1");
  expect(encodeHeader("Hello, 世界")).toBe("=?base64?SGVsbG8sIOS4lueVjA==?=");
  expect(encodeHeader(" padded ")).toBe("=?base64?IHBhZGRlZCA=?=");
  expect(encodeHeader("line1\nline2")).toBe("=?base64?bGluZTEKbGluZTI=?=");
  expect(encodeHeader("=?base64?literal?=")).toMatch(/^=\?base64\?/);
});

test("every value comes back from its header, which holds nothing that a header may not", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (value) => {
      const encoded = encodeHeader(value);
      expect(encoded).toMatch(/^[\x20-\x7e]*$/);
      expect(decodeHeader(encoded)).toBe(value.toWellFormed());
    }),
  );
});

test("marks are found below properties only, and only where the specification allows them", () => {
  const schema = {
    properties: {
      region: { type: "string", "x-mcp-header": "Region" },
      deep: { type: "object", properties: { n: { type: "integer", "x-mcp-header": "N" } } },
      rate: { type: "number", "x-mcp-header": "Rate" },
      list: { type: "array", items: { type: "string", "x-mcp-header": "Item" } },
      bad: { type: "string", "x-mcp-header": "a b" },
    },
  };
  expect(findParamHeaders(JSON.stringify({ name: "t", inputSchema: schema }))).toEqual([
    { header: "mcp-param-region", path: ["region"] },
    { header: "mcp-param-n", path: ["deep", "n"] },
  ]);
  expect(findParamHeaders('{"name":"t","inputSchema":{"type":"object"}}')).toEqual([]);
});

test("a tool with a mark that is not allowed is told from one whose marks are, or are none", () => {
  const problem = (properties: object, more: object = {}) =>
    paramHeaderProblem(JSON.stringify({ name: "t", inputSchema: { type: "object", properties, ...more } }));
  const mark = { type: "string", "x-mcp-header": "Region" };
  const deep = { type: "object", properties: { inner: mark } };
  expect(problem({ a: mark, b: { ...mark, "x-mcp-header": "Other" } })).toBeUndefined();
  expect(problem({ deep, "x-mcp-header": { type: "string" } })).toBeUndefined();
  expect(problem({ a: { type: "object", default: { "x-mcp-header": "a b" } } })).toBeUndefined();
  for (const bad of ["", "a b", "Region:Primary", "Région", "Region\t1", 7])
    expect(problem({ a: { ...mark, "x-mcp-header": bad } })).toMatch("may not");
  for (const type of ["object", "array", "null", "number"])
    expect(problem({ a: { ...mark, type } })).toMatch("may not");
  expect(problem({ a: { type: "array", items: mark } })).toMatch("may not");
  expect(problem({}, { $defs: { a: mark } })).toMatch("may not");
  expect(problem({ a: mark, deep: { ...deep, properties: { b: { ...mark, "x-mcp-header": "region" } } } })).toMatch(
    "same",
  );
});

test("an argument's text, or none", () => {
  const args = { a: { b: 7, c: true, d: null }, e: "x" };
  expect(paramValue(args, ["a", "b"])).toBe("7");
  expect(paramValue(args, ["a", "c"])).toBe("true");
  expect(paramValue(args, ["e"])).toBe("x");
  for (const path of [["a", "d"], ["a"], ["f"], ["e", "length"], ["constructor", "name"]])
    expect(paramValue(args, path)).toBeUndefined();
});

test("base64 that is not whole is no value", () => {
  for (const value of ["=?base64?SGVsbG8?=", "=?base64?SGVs!!bG8=?=", "=?base64?SGVsbG8==?=", "=?base64? SGVsbG8=?="])
    expect(decodeHeader(value)).toBeUndefined();
  expect(decodeHeader("=?base64?SGVsbG8=?=")).toBe("Hello");
  expect(decodeHeader("=?base64?SGVsbG8=")).toBe("=?base64?SGVsbG8=");
});
