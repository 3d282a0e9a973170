import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { canonicalHash } from "./canonical-hash.ts";

test("is that of RFC 8785's own example", () => {
  // Section 3.2.2, and its canonical form in 3.2.3.
  const given = String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
    "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`;
  const canonical = String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`;
  expect(canonicalHash(given)).toBe(createHash("sha256").update(canonical).digest("hex"));
});

test.each([
  ["the order of keys", '{"a":1,"b":{"c":2,"d":3}}', '{"b":{"d":3,"c":2},"a":1}'],
  ["spaces", '{"a":[1,2]}', '{ "a" :\n[ 1 , 2 ] }'],
  ["spellings of numbers", '{"a":[1,100,0.5]}', '{"a":[1.0,1e2,5e-1]}'],
  ["spellings of characters", '{"a":"é/"}', String.raw`{"\u0061":"\u00e9\/"}`],
])("%s make no difference", (_what, one, other) => {
  expect(canonicalHash(one)).toBe(canonicalHash(other));
});

test.each([
  ["the order of a list", '{"a":[1,2]}', '{"a":[2,1]}'],
  ["a character that nobody sees", '{"a":"read"}', '{"a":"re\u200bad"}'],
  ["composed characters", '{"a":"\u00e9"}', '{"a":"e\u0301"}'],
  ["a number and its text", '{"a":1}', '{"a":"1"}'],
  ["null and nothing", '{"a":null}', "{}"],
  ["a key called __proto__", '{"__proto__":{"a":1}}', "{}"],
  ["lone surrogates", String.raw`{"a":"\ud800"}`, String.raw`{"a":"\ud801"}`],
])("%s make one", (_what, one, other) => {
  expect(canonicalHash(one)).not.toBe(canonicalHash(other));
});

test("what has no canonical form is the same as it is written", () => {
  for (const text of [String.raw`{"a":"\ud800"}`, '{"a":1e400}']) {
    expect(canonicalHash(text)).toBe(canonicalHash(text));
    expect(canonicalHash(text)).not.toBe(canonicalHash(`${text} `));
  }
});

test("is found of what is nested as deeply as a definition can be", () => {
  const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  expect(canonicalHash(deep)).toBe(createHash("sha256").update(deep).digest("hex"));
});
