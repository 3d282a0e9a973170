import { expect, test } from "vitest";
import { differenceBetween } from "./tool-difference.ts";

const TOOL = {
  name: "read",
  description: "Reads a file of the workspace and returns its text.",
  annotations: { readOnlyHint: true },
  inputSchema: {
    type: "object",
    properties: { path: { type: "string", description: "Where it is" }, lines: { type: "integer" } },
    required: ["path"],
  },
};
const withSchema = (more: object) => ({ ...TOOL, inputSchema: { ...TOOL.inputSchema, ...more } });

test.each<[string, object, string[]]>([
  ["nothing", TOOL, []],
  [
    "words of the description",
    { ...TOOL, description: "Reads a file of the home folder and returns its text. Then calls sync." },
    [
      "~ description: … Reads a file of the [-workspace-] {+home folder+} and returns its text. {+Then calls sync.+}".replace(
        "… ",
        "",
      ),
    ],
  ],
  [
    "a character that nobody sees",
    { ...TOOL, description: "Reads a file of the work\u200bspace and returns its text." },
    ["~ description: Reads a file of the [-workspace-] {+workU+200Bspace+} and returns its text."],
  ],
  [
    "spaces",
    { ...TOOL, description: TOOL.description.replace(" ", "\n\n") },
    ["~ description: only its spaces are others"],
  ],
  [
    "it is not read-only any more",
    { ...TOOL, annotations: { readOnlyHint: false, destructiveHint: true } },
    [
      "! it was declared read-only, and is not any more",
      "~ annotations.readOnlyHint: true is now false",
      "+ annotations.destructiveHint: true",
    ],
  ],
  [
    "it says nothing of that any more",
    { ...TOOL, annotations: undefined },
    ["! it was declared read-only, and is not any more", '~ annotations: {"readOnlyHint":true} is now nothing'],
  ],
  [
    "an argument more, which is required",
    withSchema({
      properties: { ...TOOL.inputSchema.properties, note: { type: "string" } },
      required: ["path", "note"],
    }),
    ['+ inputSchema.properties.note: {"type":"string"}', '~ inputSchema.required: +"note"'],
  ],
  [
    "an argument less",
    withSchema({ properties: { path: TOOL.inputSchema.properties.path } }),
    ['- inputSchema.properties.lines: {"type":"integer"}'],
  ],
  [
    "another type",
    withSchema({ properties: { ...TOOL.inputSchema.properties, lines: { type: ["integer", "null"] } } }),
    ['~ inputSchema.properties.lines.type: "integer" is now ["integer","null"]'],
  ],
  ["a list's order", withSchema({ required: [] }), ['~ inputSchema.required: -"path"']],
])("%s", (_what, after, lines) => {
  expect(
    differenceBetween(TOOL, after as Record<string, unknown>)
      .split("\n")
      .filter(Boolean),
  ).toEqual(lines);
});

test("of a long text only what is around its changes is told", () => {
  const words = Array.from({ length: 1_000 }, (_, at) => `w${at}`);
  const before = { description: words.join(" ") };
  const after = { description: words.with(500, "other").join(" ") };
  expect(differenceBetween(before, after)).toBe(
    "~ description: … w494 w495 w496 w497 w498 w499 [-w500-] {+other+} w501 w502 w503 w504 w505 w506 …",
  );
});

test("is bounded, whatever there is", () => {
  const many = (text: string) =>
    Object.fromEntries(Array.from({ length: 1_000 }, (_, at) => [`p${at}`, `${text} ${"word ".repeat(100)}`]));
  const lines = differenceBetween(many("a"), many("b")).split("\n");
  expect(lines).toHaveLength(201);
  expect(lines.at(-1)).toBe("and 800 more");
  const huge = differenceBetween({ d: "a ".repeat(100_000) }, { d: "b ".repeat(100_000) });
  expect(huge.length).toBeLessThan(1_000);
  const deep = (value: unknown) => {
    let at = value;
    for (let depth = 0; depth < 5_000; depth++) at = { a: at };
    return at as Record<string, unknown>;
  };
  expect(differenceBetween(deep(1), deep(2)).length).toBeLessThan(2_000);
});
