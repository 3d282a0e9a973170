import { expect, test } from "vitest";
import { readArguments } from "./call-arguments.ts";

const here = "/";

test("arguments have the types of the tool's schema, or else of JSON", () => {
  const schema = { properties: { zip: { type: "string" }, count: { type: "number" } } };
  const arg = ["zip=01234", "count=2", "list=[1,2]", "word=plain", "empty=", "equation=a=b"];
  expect(readArguments({ arg }, { here, schema })).toEqual({
    zip: "01234",
    count: 2,
    list: [1, 2],
    word: "plain",
    empty: "",
    equation: "a=b",
  });
});

test("one by one they win over those that were given as a whole", () => {
  expect(readArguments({ args: '{"a":1,"b":2}', arg: ["b=3"] }, { here })).toEqual({ a: 1, b: 3 });
});

test("none are not the same as empty ones", () => {
  expect(readArguments({}, { here })).toBeUndefined();
  expect(readArguments({ args: "{}" }, { here })).toEqual({});
});

test.each([{ args: "[1]" }, { args: "text" }, { arg: ["text"] }, { arg: ["=1"] }])("%j is a mistake", (options) => {
  expect(() => readArguments(options, { here })).toThrow("has to be");
});
