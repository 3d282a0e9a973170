import { describe, expect, test } from "vitest";
import { column, renderTable, textOf } from "./table.ts";

const plain = { head: (text: string) => text, cell: (text: string) => text };
const columns = ["id", "name", "reason"].map((name) => column(name));
const render = (rows: readonly Record<string, unknown>[], width = Infinity) =>
  renderTable(columns, rows, { ...plain, width }).split("\n");

test("columns are aligned, and those with nothing in them are left out", () => {
  expect(
    render([
      { id: "a", reason: "x" },
      { id: "longer", reason: null },
    ]),
  ).toEqual(["id      reason", "a       x", "longer"]);
});

describe("what would not fit", () => {
  test("is cut where it is longest", () => {
    const lines = render([{ id: "one", name: "a name", reason: "a reason that goes on and on" }], 30);
    expect(lines[1]).toBe("one  a name  a reason that goe…".slice(0, 30).replace(/.$/, "…"));
    expect(lines.every((line) => line.length <= 30)).toBe(true);
  });

  test("stays readable where nothing fits", () => {
    const [, line] = render([{ id: "0123456789", name: "0123456789", reason: "0123456789" }], 5);
    expect(line).toBe("0123456…  0123456…  0123456…");
  });

  test("is never cut within a letter", () => {
    const family = "👩‍👩‍👧".repeat(20);
    expect(render([{ id: family }], 10)[1]).toBe(`${"👩‍👩‍👧".repeat(9)}…`);
  });
});

test("what a terminal would do is shown as text", () => {
  expect(render([{ id: "\u001b[2J\nx" }])[1]).toBe("\\x1b[2J x");
});

test("colours do not move columns", () => {
  const style = { width: Infinity, head: (text: string) => text, cell: (text: string) => `<${text}>` };
  expect(renderTable(columns, [{ id: "a", name: "b" }], style).split("\n")).toEqual(["id  name", "<a >  <b>"]);
});

test("values are words for people", () => {
  expect([true, false, null, ["a", 1], { a: 1 }].map(textOf)).toEqual(["yes", "no", "", "a, 1", '{"a":1}']);
});
