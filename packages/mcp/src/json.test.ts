import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseFrame } from "./frame.ts";
import { parseJson } from "./json.ts";

/** From then on Node 24 reads some keys after `before` as this one, when they are given with escapes. */
function poison(before: string, key: string): void {
  JSON.parse(`{${JSON.stringify(before)}:[],${JSON.stringify(key)}:0}`);
}

describe("keys are what they are, whatever was read before", () => {
  test.each([
    ["a quote", "\\", String.raw`\"`, '"'],
    ["a letter by its number", String.raw`\u0061`, String.raw`\u0061mount`, "amount"],
    ["its last letter by its number", "amoun\\", String.raw`amoun\u0074`, "amount"],
    ["a character beyond ASCII", "f\\u", String.raw`f\u00fcr`, "für"],
    ["a control character", "x-\\", String.raw`x-\u0000`, "x-\0"],
  ])("%s", (name, known, written, key) => {
    poison(name, known.slice(0, key.length));
    const text = `{"${name}":1,"${written}" \n:2}`;
    expect(Object.keys(parseJson(text) as object)).toEqual([name, key]);
  });

  test("in a frame, too", () => {
    poison("frame", String.raw`\u0061`.slice(0, "amount".length));
    const text = String.raw`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"frame":1,"\u0061mount":2}}`;
    expect(parseFrame(text)).toMatchObject({ ok: true, frame: { params: { frame: 1, amount: 2 } } });
  });
});

/** JSON in which each character of a key may stand as it is or by its number. */
function asJson(value: unknown, turn: () => boolean): string {
  const blank = () => (turn() ? " \r\n\t" : "");
  if (Array.isArray(value)) return `[${blank()}${value.map((each) => asJson(each, turn)).join(`${blank()},`)}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([key, each]) => `${blank()}${keyAsJson(key, turn)}${blank()}:${blank()}${asJson(each, turn)}${blank()}`,
  );
  return `{${blank()}${members.join(",")}}`;
}

function keyAsJson(key: string, turn: () => boolean): string {
  const units = key.split("").map((unit) => {
    const byNumber = `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
    return turn() ? byNumber : JSON.stringify(unit).slice(1, -1);
  });
  return `"${units.join("")}"`;
}

const turns = fc.array(fc.boolean(), { minLength: 1, maxLength: 40 });
// Few characters, so that keys come close to each other.
const keys = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.constantFrom("\\", '"', "u", "0", "a", "é") }),
);
const { value: values } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.oneof(
      fc.string({ unit: "binary" }),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0),
    ),
    fc.constantFrom(null, true, false),
    fc.dictionary(fc.oneof(keys, fc.constantFrom("__proto__", "7")), tie("value"), { noNullPrototype: true }),
    fc.array(tie("value")),
  ),
}));

test("what was written is read, however its keys are escaped", () => {
  fc.assert(
    fc.property(values, turns, (value, turn) => {
      let at = 0;
      const text = asJson(value, () => turn[at++ % turn.length]!);
      expect(parseJson(text)).toStrictEqual(value);
      expect(parseJson(text, Number)).toStrictEqual(value);
    }),
    { numRuns: 1_000 },
  );
});

test("a number is given as it is spelled", () => {
  const text = String.raw`{"a":[1.0,-0,9007199254740993,1E+2],"\u0062":{"c":"1.0"}}`;
  expect(parseJson(text, (spelled) => ({ spelled }))).toEqual({
    a: ["1.0", "-0", "9007199254740993", "1E+2"].map((spelled) => ({ spelled })),
    b: { c: "1.0" },
  });
  expect(parseJson(String.raw`{"\u0061":[-0,1E+2]}`)).toStrictEqual({ a: [-0, 100] });
});

test("of equal keys the last counts, where the first stood", () => {
  const value = parseJson(String.raw`{"a":1,"b":2,"\u0061":{"x":3}}`);
  expect(JSON.stringify(value)).toBe('{"a":{"x":3},"b":2}');
});

test("__proto__ is a key like others", () => {
  const value = parseJson(String.raw`{"\u005f_proto__":{"admin":true},"__proto__":[1]}`) as Record<string, unknown>;
  expect(Object.entries(value)).toEqual([["__proto__", [1]]]);
  expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
});

test.each([
  "",
  "{",
  String.raw`{"\u0061":1`,
  String.raw`{"\u006":1}`,
  String.raw`{"\u0061":01}`,
  String.raw`{"\n":1}x`,
])("%s is no JSON", (text) => {
  expect(() => parseJson(text)).toThrow(SyntaxError);
  expect(() => parseJson(text, Number)).toThrow(SyntaxError);
});

describe("it ends in time, whatever the text is", () => {
  const LENGTH = 2_000_000;
  test.each([
    ["a key of backslashes", `{"${"\\\\".repeat(LENGTH)}":1}`],
    ["a value of backslashes", `["${"\\\\".repeat(LENGTH)}"]`],
    ["a key of quotes", `{"${'\\"'.repeat(LENGTH)}":1}`],
    ["a value of what looks like keys", `["${'\\":'.repeat(LENGTH)}"]`],
    ["blanks after each of many strings", `[${'"\\n"  ,'.repeat(LENGTH / 8)}"\\n"${" ".repeat(LENGTH)}]`],
  ])("%s", (_name, text) => {
    expect(JSON.stringify(parseJson(text))).toBe(text.replaceAll(" ", ""));
  });

  test.each([
    ["lists", "[", "]"],
    ["objects", '{"\\u0061":', "}"],
  ])("100,000 %s in each other", (_name, opening, closing) => {
    let value = parseJson(`${opening.repeat(100_000)}{"\\u0062":1}${closing.repeat(100_000)}`);
    let depth = 0;
    for (; !("b" in (value as object)); depth += 1) value = Object.values(value as object)[0];
    expect(depth).toBe(100_000);
  });
});
