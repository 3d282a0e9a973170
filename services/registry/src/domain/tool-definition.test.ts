import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { parseToolList, TOOL_MAX_BYTES, TOOLS_MAX } from "./tool-definition.ts";

function definition(name: string, more: Record<string, unknown> = {}): string {
  return JSON.stringify({ name, inputSchema: { type: "object" }, ...more });
}

describe("parseToolList", () => {
  test("keeps order, definitions and unknown fields byte for byte", () => {
    const odd = '{ "name":"odd",  "inputSchema":{}, "x-later": {"a":[1.0, 2e3]}, "description":"\\u00e9é" }';
    const parsed = parseToolList([definition("b"), odd, definition("a")]);
    if (!parsed.ok) throw new Error(parsed.reason);
    expect(parsed.value.map(({ name }) => name)).toEqual(["b", "odd", "a"]);
    expect(parsed.value[1]).toEqual({
      name: "odd",
      definition: odd,
      hash: createHash("sha256").update(odd).digest("hex"),
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
    const parsed = parseToolList([definition("t", { annotations })]);
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
    [definition("first"), 'tool 2: another tool is named "first" too'],
    [definition("t", { description: "é".repeat(TOOL_MAX_BYTES / 2) }), "tool 2: its definition has "],
  ])("refuses the list for %.60s", (bad, reason) => {
    const parsed = parseToolList([definition("first"), bad]);
    expect(parsed).toMatchObject({ ok: false, reason: expect.stringContaining(reason) });
  });

  test("takes a name of 128 characters and the largest number of tools, and no more", () => {
    const names = Array.from({ length: TOOLS_MAX }, (_, index) => `${index}`.padStart(128, "t"));
    expect(parseToolList(names.map((name) => definition(name)))).toMatchObject({ ok: true });
    const tooMany = parseToolList([...names, "one-more"].map((name) => definition(name)));
    expect(tooMany).toEqual({ ok: false, reason: "2001 tools; at most 2000 are allowed" });
  });
});
