import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { changeStrings, elementSpans, findMembers, insertMembers, splice } from "./spans.ts";

const blanks = fc.stringMatching(/^[ \t\r\n]{0,3}$/);

/** JSON texts with white space wherever JSON allows it. */
function spaced(value: unknown, random: () => string): string {
  if (Array.isArray(value))
    return `[${random()}${value.map((each) => spaced(each, random)).join(`${random()},${random()}`)}${random()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([key, each]) => `${JSON.stringify(key)}${random()}:${random()}${spaced(each, random)}`,
  );
  return `{${random()}${members.join(`${random()},${random()}`)}${random()}}`;
}

const anyText = fc
  .tuple(fc.dictionary(fc.string(), fc.jsonValue()), fc.array(blanks, { minLength: 1, maxLength: 20 }))
  .map(([value, fill]) => {
    let at = 0;
    return { value, text: spaced(value, () => fill[at++ % fill.length]!) };
  });

describe("findMembers", () => {
  test("finds exactly the text of each member, however it is spaced", () => {
    fc.assert(
      fc.property(anyText, ({ value, text }) => {
        for (const [key, expected] of Object.entries(value)) {
          if (Object.keys(value).some((other) => other !== key && other.toLowerCase() === key.toLowerCase())) continue;
          const span = findMembers(text, 0, [key])!.spans[key]!;
          expect(JSON.parse(text.slice(span.start, span.end))).toEqual(JSON.parse(JSON.stringify(expected)));
        }
      }),
    );
  });

  test("says which wanted member is given twice, also in other letters or escaped", () => {
    expect(findMembers('{"name":"a","name":"b"}', 0, ["name"])!.ambiguous).toBe("name");
    expect(findMembers('{"name":"a","Name":"b"}', 0, ["name"])!.ambiguous).toBe("name");
    expect(findMembers('{"name":"a","n\\u0061me":"b"}', 0, ["name"])!.ambiguous).toBe("name");
    expect(findMembers('{"name":"a","other":{"name":"b"}}', 0, ["name"])!.ambiguous).toBeUndefined();
  });

  test("is not misled by braces and quotes inside strings", () => {
    const text = '{"a":"}{\\"]\\\\","b":[{"c":"]"}],"name":"x"}';
    const span = findMembers(text, 0, ["name"])!.spans["name"]!;
    expect(text.slice(span.start, span.end)).toBe('"x"');
  });

  test("finds nothing where no object begins", () => {
    expect(findMembers("[1]", 0, ["a"])).toBeUndefined();
    expect(findMembers('"{}"', 0, ["a"])).toBeUndefined();
  });
});

test("inserted members stand in front and leave the rest as it was", () => {
  fc.assert(
    fc.property(anyText, ({ value, text }) => {
      const members = findMembers(text, 0, [])!;
      const changed = splice(text, insertMembers(members, [["\u0000added", { deep: [1] }]]));
      expect(JSON.parse(changed)).toEqual(JSON.parse(JSON.stringify({ ...value, "\u0000added": { deep: [1] } })));
      expect(changed.endsWith(text.slice(members.open))).toBe(true);
    }),
  );
});

test("elementSpans gives each element's own text", () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), fc.array(blanks, { minLength: 1 }), (values, fill) => {
      let at = 0;
      const text = spaced(values, () => fill[at++ % fill.length]!);
      expect(elementSpans(text, 0).map(({ start, end }) => JSON.parse(text.slice(start, end)) as unknown)).toEqual(
        JSON.parse(JSON.stringify(values)),
      );
    }),
  );
});

test("changeStrings changes the strings at its paths and leaves every other byte as it was", () => {
  const text = '{"result": { "contents" : [ {"uri":"a", "n":1.0}, {"uri":7}, {"x":{"uri":"b"}} ], "uri":"c" } }';
  const edits = changeStrings(text, [["result", "contents", "*", "uri"]], (uri) => `s:${uri}`);
  expect(splice(text, edits)).toBe(text.replace('"uri":"a"', '"uri":"s:a"'));
  expect(
    changeStrings(
      text,
      [
        ["result", "*", "uri"],
        ["none", "*"],
      ],
      () => "x",
    ),
  ).toEqual([]);
  expect(changeStrings(text, [["result", "uri"]], () => undefined)).toEqual([]);
});
