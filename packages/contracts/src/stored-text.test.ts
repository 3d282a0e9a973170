import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { storedText } from "./stored-text.ts";

const units = fc.string({ unit: fc.constantFrom("a", "é", "€", "😀", "\0", "\ud83d", "\ude00"), maxLength: 400 });

describe("a stored text", () => {
  it("is what was given, where that can be stored", () => {
    expect(storedText("files://a b", 128)).toBe("files://a b");
    expect(storedText("€".repeat(42), 126)).toBe("€".repeat(42));
  });

  it("has no NUL and no half of a character, and no more bytes than it may", () => {
    fc.assert(
      fc.property(units, (given) => {
        const text = storedText(given, 128);
        expect(text.isWellFormed() && !text.includes("\0")).toBe(true);
        expect(Buffer.byteLength(text)).toBeLessThanOrEqual(128);
      }),
    );
  });

  it("is another one for another one, however long they begin the same, and stays what it is", () => {
    const [one, other] = ["x", "y"].map((end) => storedText(`${"😀".repeat(500)}${end}`, 128));
    expect(one).not.toBe(other);
    expect(one).toMatch(/^😀{27}~[0-9a-f]{16}$/u);
    expect(storedText(one!, 128)).toBe(one);
  });
});
