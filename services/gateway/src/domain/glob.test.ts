import { expect, test } from "vitest";
import { matchesGlob } from "./glob.ts";

test.each([
  ["", "", true],
  ["", "a", false],
  ["*", "", true],
  ["*", "anything", true],
  ["read_*", "read_file", true],
  ["read_*", "read_", true],
  ["read_*", "write", false],
  ["*_file", "read_file", true],
  ["*_file", "read_file_now", false],
  ["a*b*c", "aXbYbZc", true],
  ["a*b*c", "acb", false],
  ["**", "x", true],
  ["a.c", "abc", false],
  ["a", "ab", false],
])("%j and %j: %j", (pattern, text, expected) => expect(matchesGlob(pattern, text)).toBe(expected));

test("many stars are no more work than their lengths multiplied", () => {
  expect(matchesGlob(`${"a*".repeat(100)}b`, "a".repeat(20_000))).toBe(false);
});
