import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeHeader, encodeHeader, findParamHeaders, paramValue } from "./headers.ts";

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
