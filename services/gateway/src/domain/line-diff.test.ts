import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { unifiedDiff } from "./line-diff.ts";

const diff = (before: string, after: string) => unifiedDiff({ before, after, from: "version 1", to: "version 2" });
const text = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join("");

/** What `patch` makes of it, from what the format says and nothing else. */
function patched(before: string, patch: string): string {
  const source = before.split("\n").slice(0, -1);
  const result: string[] = [];
  let at = 0;
  for (const line of patch.split("\n").slice(2, -1)) {
    const range = /^@@ -(\d+),(\d+) \+(\d+),(\d+) @@$/.exec(line);
    if (range) {
      const start = Number(range[1]) - (range[2] === "0" ? 0 : 1);
      result.push(...source.slice(at, start));
      at = start;
      expect(Number(range[3]) - (range[4] === "0" ? 0 : 1)).toBe(result.length);
    } else {
      if (!line.startsWith("+")) expect(source[at++]).toBe(line.slice(1));
      if (!line.startsWith("-")) result.push(line.slice(1));
    }
  }
  return text([...result, ...source.slice(at)]);
}

describe("a difference of two texts", () => {
  test("reads as diff -u writes it", () => {
    const before = ["name: p", "effect: allow", "principals:", '  - "*"', "actions:", '  - "tools/call"', "end"];
    const after = before.with(1, "effect: deny");
    expect(diff(text(before), text(after))).toBe(
      `--- version 1\n+++ version 2\n@@ -1,5 +1,5 @@\n name: p\n-effect: allow\n+effect: deny\n principals:\n   - "*"\n actions:\n`,
    );
  });

  test("has a part for each place that is far from the others", () => {
    const before = Array.from({ length: 20 }, (_each, n) => `line ${n}`);
    const after = before.with(1, "one").with(18, "eighteen");
    expect(diff(text(before), text(after)).match(/^@@.*@@$/gm)).toEqual(["@@ -1,5 +1,5 @@", "@@ -16,5 +16,5 @@"]);
  });

  test.each([
    ["", "a\n", "@@ -0,0 +1,1 @@\n+a\n"],
    ["a\n", "", "@@ -1,1 +0,0 @@\n-a\n"],
  ])("from %j to %j", (before, after, hunk) =>
    expect(diff(before, after)).toBe(`--- version 1\n+++ version 2\n${hunk}`),
  );

  test("is empty where there is none", () => expect(diff("a\n", "a\n")).toBe(""));

  test("makes the one of the other, whatever they are", () => {
    const lines = fc.array(fc.constantFrom("a", "b", "c", "", "-d", "+e", "@@"), { maxLength: 40 }).map(text);
    fc.assert(
      fc.property(lines, lines, (before, after) => {
        const patch = diff(before, after);
        if (before === after) expect(patch).toBe("");
        else expect(patched(before, patch)).toBe(after);
      }),
    );
  });

  test("of texts that are too long is all of both", () => {
    const before = text(Array.from({ length: 3_000 }, () => "same"));
    expect(diff(before, `${before}more\n`).match(/^[-+]same$/gm)).toHaveLength(6_000);
  });
});
