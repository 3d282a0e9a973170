import { expect, test } from "vitest";
import { parseArguments } from "./call-arguments.ts";

function parse(text: string) {
  const parsed = parseArguments(text);
  if (!parsed.ok) return parsed.reason;
  const { texts, numbers, flags, unclear } = parsed.value;
  return {
    texts: Object.fromEntries(texts),
    numbers: Object.fromEntries(numbers),
    flags: Object.fromEntries(flags),
    unclear: unclear.toSorted(),
  };
}
const NOTHING = { texts: {}, numbers: {}, flags: {}, unclear: [] };

test.each<[string, unknown]>([
  ["{}", NOTHING],
  ['{"a":"x","b":1.5,"c":false}', { ...NOTHING, texts: { a: "x" }, numbers: { b: "1.5000" }, flags: { c: false } }],
  ['{"a":{"b":{"c":"x"}}}', { ...NOTHING, texts: { "a.b.c": "x" }, unclear: ["a", "a.b"] }],
  ['{"a":{}}', { ...NOTHING, unclear: ["a"] }],
  ['{"a":[1],"b":null}', { ...NOTHING, unclear: ["a", "a.*", "b", "b.*"] }],
  ['{"a.b":"x","a":{"b":"y"}}', { ...NOTHING, unclear: ["a", "a.b", "a.b.*"] }],
  [
    '{"a":-0,"b":1e15,"c":0.00001,"d":-123.4567}',
    { ...NOTHING, numbers: { a: "0.0000", d: "-123.4567" }, unclear: ["b", "b.*", "c", "c.*"] },
  ],
  ['{"a":"\\ud800"}', { ...NOTHING, unclear: ["a", "a.*"] }],
  ['{"":"x"}', { ...NOTHING, texts: { "": "x" } }],
  ["[]", "its arguments are not an object"],
  ["null", "its arguments are not an object"],
  ['"x"', "its arguments are not an object"],
  ["{", "its arguments are not JSON"],
  ["", "its arguments are not JSON"],
])("%s", (text, expected) => {
  expect(parse(text)).toEqual(expected);
});

test("names that mean something to JavaScript are names like others", () => {
  const parsed = parseArguments('{"__proto__":"x","constructor":{"__proto__":"y"},"toString":true}');
  const { texts, flags } = parsed.ok ? parsed.value : { texts: new Map<string, string>(), flags: new Map() };
  expect(texts).toEqual(
    new Map([
      ["__proto__", "x"],
      ["constructor.__proto__", "y"],
    ]),
  );
  expect([...flags]).toEqual([["toString", true]]);
});

test("no other text makes a name with escapes another one, which a condition on it would miss", () => {
  // After the first, JSON.parse of Node 24 reads the second's `amount` as `\\u0061`.
  expect(parse(String.raw`{"to":[],"\\u0061":0}`)).toMatchObject({ numbers: { "\\u0061": "0.0000" } });
  const expected = { ...NOTHING, texts: { to: "x" }, numbers: { amount: "1000.0000" } };
  expect(parse(String.raw`{"to":"x","\u0061mount":1000}`)).toEqual(expected);
});

test("there are 256 of them at most, however deep", () => {
  const many = (count: number) =>
    JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, i) => [`a${i}`, i])));
  expect(parseArguments(many(256)).ok).toBe(true);
  expect(parse(many(257))).toBe("it has more than 256 arguments");
  const deep = `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`;
  expect(parse(deep)).toBe("it has more than 256 arguments");
});
