import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { canonicalHash } from "./canonical-hash.ts";
import { FORMS, ITEM_MAX_BYTES, type Kind, KINDS, parseItems } from "./item.ts";

function definition(name: string, more: Record<string, unknown> = {}): string {
  return JSON.stringify({ name, inputSchema: { type: "object" }, ...more });
}

describe("the tools of a server", () => {
  test("keeps order, definitions and unknown fields byte for byte", () => {
    const odd = '{ "name":"odd",  "inputSchema":{}, "x-later": {"a":[1.0, 2e3]}, "description":"\\u00e9é" }';
    const parsed = parseItems("tool", [definition("b"), odd, definition("a")]);
    if (!parsed.ok) throw new Error(parsed.reason);
    expect(parsed.value.map(({ key }) => key)).toEqual(["b", "odd", "a"]);
    expect(parsed.value[1]).toEqual({
      kind: "tool",
      key: "odd",
      definition: odd,
      hash: createHash("sha256").update(odd).digest("hex"),
      canonicalHash: canonicalHash(odd),
      retrySafe: false,
    });
  });

  test.each([
    [{ readOnlyHint: true }, true],
    [{ idempotentHint: true }, true],
    [{ readOnlyHint: false, idempotentHint: true }, true],
    [{ readOnlyHint: "true" }, false],
    [{ readOnlyHint: 1, idempotentHint: null }, false],
    [{ destructiveHint: false }, false],
    [{}, false],
    [null, false],
    ["readOnlyHint", false],
    [undefined, false],
  ])("annotations %j: may run again: %s", (annotations, retrySafe) => {
    const parsed = parseItems("tool", [definition("t", { annotations })]);
    expect(parsed).toMatchObject({ ok: true, value: [{ retrySafe }] });
  });

  test.each([
    ["{", "tool 2: its definition is not JSON"],
    ["[]", "tool 2: its definition is not a JSON object"],
    ["null", "tool 2: its definition is not a JSON object"],
    ['"text"', "tool 2: its definition is not a JSON object"],
    ['{"inputSchema":{}}', "tool 2: its name is not a string"],
    ['{"name":7,"inputSchema":{}}', "tool 2: its name is not a string"],
    [definition(""), "tool 2: its name is not a string"],
    [definition("x".repeat(129)), "tool 2: its name is not a string of 1 to 128 characters"],
    [definition("a\u0000b"), "tool 2: its name is not a string"],
    ['{"name":"\\ud800","inputSchema":{}}', "tool 2: its name is not a string"],
    ['{"name":"t"}', 'tool 2 ("t"): its inputSchema is not an object'],
    ['{"name":"t","inputSchema":[]}', 'tool 2 ("t"): its inputSchema is not an object'],
    ['{"name":"t","inputSchema":null}', 'tool 2 ("t"): its inputSchema is not an object'],
    [definition("first"), 'tool 2: another tool has the name "first" too'],
    [definition("t", { description: "é".repeat(ITEM_MAX_BYTES / 2) }), "tool 2: its definition has "],
  ])("refuses the list for %.60s", (bad, reason) => {
    const parsed = parseItems("tool", [definition("first"), bad]);
    expect(parsed).toMatchObject({ ok: false, reason: expect.stringContaining(reason) });
  });

  test("takes a name of 128 characters and the largest number of tools, and no more", () => {
    const names = Array.from({ length: FORMS.tool.countMax }, (_, index) => `${index}`.padStart(128, "t"));
    expect(
      parseItems(
        "tool",
        names.map((name) => definition(name)),
      ),
    ).toMatchObject({ ok: true });
    const tooMany = parseItems(
      "tool",
      [...names, "one-more"].map((name) => definition(name)),
    );
    expect(tooMany).toEqual({ ok: false, reason: "2001 tools; at most 2000 are allowed" });
  });
});

describe.each<[Kind, string, string]>([
  ["prompt", "prompt", "name"],
  ["resource", "resource", "uri"],
  ["resource_template", "resource template", "uriTemplate"],
])("of the kind %s", (kind, noun, field) => {
  const item = (key: unknown, more: Record<string, unknown> = {}): string => JSON.stringify({ ...more, [field]: key });

  test("keeps order, definitions and unknown fields byte for byte; nothing else is asked for", () => {
    const odd = `{ "x-later": [1.0],  "${field}":"test://a/{b}?c=\\u00e9#d", "annotations":{"readOnlyHint":true} }`;
    const parsed = parseItems(kind, [item("b"), odd, item("a")]);
    if (!parsed.ok) throw new Error(parsed.reason);
    expect(parsed.value.map(({ key }) => key)).toEqual(["b", "test://a/{b}?c=é#d", "a"]);
    const hash = createHash("sha256").update(odd).digest("hex");
    expect(parsed.value[1]).toEqual({
      kind,
      key: "test://a/{b}?c=é#d",
      definition: odd,
      hash,
      canonicalHash: "",
      retrySafe: false,
    });
  });

  test("of two with the same key, the list is refused", () => {
    const reason = `${noun} 3: another ${noun} has the ${field} "a" too`;
    expect(parseItems(kind, [item("a"), item("b"), item("a", { title: "other" })])).toEqual({ ok: false, reason });
  });

  test.each([undefined, "", 7, "a\u0000b", "\ud800"])("refuses the key %j", (key) => {
    const reason = expect.stringContaining(`${noun} 1: its ${field} is not a string of 1 to `);
    expect(parseItems(kind, [item(key)])).toEqual({ ok: false, reason });
  });

  test.each(["{", "[]", "null"])("refuses %s", (bad) => {
    const reason = expect.stringContaining(`${noun} 2: its definition is not`);
    expect(parseItems(kind, [item("a"), bad])).toEqual({ ok: false, reason });
  });
});

describe.each(KINDS)("bounds of the kind %s", (kind) => {
  const { field, noun, keyMaxChars, countMax } = FORMS[kind];
  const item = (key: string, description = ""): string =>
    JSON.stringify({ [field]: key, inputSchema: {}, description });

  test("a key", () => {
    expect(parseItems(kind, [item("k".repeat(keyMaxChars))])).toMatchObject({ ok: true });
    expect(parseItems(kind, [item("k".repeat(keyMaxChars + 1))])).toMatchObject({ ok: false });
  });

  test("a definition", () => {
    const rest = ITEM_MAX_BYTES - Buffer.byteLength(item("k"));
    expect(parseItems(kind, [item("k", "x".repeat(rest))])).toMatchObject({ ok: true });
    const reason = `${noun} 1: its definition has ${ITEM_MAX_BYTES + 1} bytes; at most ${ITEM_MAX_BYTES} are allowed`;
    expect(parseItems(kind, [item("k", "x".repeat(rest + 1))])).toEqual({ ok: false, reason });
  });

  test("their number", () => {
    const many = Array.from({ length: countMax + 1 }, (_, index) => item(`k${index}`));
    expect(parseItems(kind, many.slice(1))).toMatchObject({ ok: true });
    const reason = `${countMax + 1} ${noun}s; at most ${countMax} are allowed`;
    expect(parseItems(kind, many)).toEqual({ ok: false, reason });
  });
});
