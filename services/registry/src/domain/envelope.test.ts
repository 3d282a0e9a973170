import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createEnvelopes, type Envelopes, keyIdOf } from "./envelope.ts";

const [FIRST, SECOND] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
const ABOUT = ["secret", "api-key", 1];

function envelopesWith(keys: Readonly<Record<string, Buffer>>): Envelopes {
  return createEnvelopes(new Map(Object.entries(keys)), randomBytes);
}

const old = envelopesWith({ first: FIRST });
const both = envelopesWith({ second: SECOND, first: FIRST });

describe("envelopes", () => {
  it("open what they have sealed, also when a new master key stands in front", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.array(fc.string()), (text, about) => {
        const sealed = old.seal(text, about);
        expect(old.open(sealed, about)).toBe(text);
        expect(both.open(sealed, about)).toBe(text);
        expect(keyIdOf(sealed)).toBe("first");
        const rewrapped = both.rewrap(sealed);
        expect(keyIdOf(rewrapped)).toBe("second");
        expect(both.open(rewrapped, about)).toBe(text);
        expect(envelopesWith({ second: SECOND }).open(rewrapped, about)).toBe(text);
        expect(both.rewrap(rewrapped)).toBe(rewrapped);
      }),
    );
  });

  it("hold nothing of the text, and are never the same twice", () => {
    const text = "a value that is long enough to be found again";
    const sealed = Array.from({ length: 100 }, () => old.seal(text, ABOUT));
    expect(new Set(sealed).size).toBe(100);
    expect(new Set(sealed.map((each) => each.split(":")[1])).size).toBe(100);
    for (const each of sealed) expect(Buffer.from(each.split(":")[2]!, "base64").includes("a value")).toBe(false);
  });

  it("open for what they are about only", () => {
    const sealed = old.seal("value", ABOUT);
    for (const about of [
      [],
      ["secret", "api-key"],
      ["secret", "api-key", 2],
      ["secret", "api-key", "1"],
      ["secret api-key", 1],
    ]) {
      expect(() => old.open(sealed, about)).toThrow("belongs to something else");
    }
  });

  it("do not open when any byte is another one, is missing, or is another text's", () => {
    const sealed = both.seal("value", ABOUT);
    const [id, wrapped, body] = sealed.split(":") as [string, string, string];
    for (const at of [0, 1]) {
      const bytes = Buffer.from([wrapped, body][at]!, "base64");
      for (const place of bytes.keys()) {
        const changed = Buffer.from(bytes);
        changed[place]! ^= 1;
        for (const part of [changed, bytes.subarray(0, place)]) {
          const parts = [wrapped, body].with(at, part.toString("base64"));
          expect(() => both.open([id, ...parts].join(":"), ABOUT)).toThrow(/changed/);
        }
      }
    }
    const other = both.seal("value", ABOUT).split(":");
    expect(() => both.open(`${id}:${other[1]}:${body}`, ABOUT)).toThrow("it was changed");
    expect(() => both.open(`${sealed}:`, ABOUT)).toThrow("changed");
    expect(() => both.rewrap(`first:${wrapped}:${body}`)).toThrow("data key was changed");
  });

  it("name the master key that is not here, or is another one", () => {
    const sealed = both.seal("value", ABOUT);
    expect(() => old.open(sealed, ABOUT)).toThrow("master key second is not among the keys here");
    expect(() => old.rewrap(sealed)).toThrow("master key second is not among the keys here");
    expect(() => old.open("nonsense", ABOUT)).toThrow("is not among the keys here");
    expect(() => envelopesWith({ second: FIRST }).open(sealed, ABOUT)).toThrow("another one of that id");
  });
});
