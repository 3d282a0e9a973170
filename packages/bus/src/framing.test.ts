import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeFrames, encodeFrames, singleLine } from "./framing.ts";

const frames = fc.array(fc.record({ envelope: fc.record({ id: fc.string({ unit: "binary" }) }), frame: fc.json() }), {
  minLength: 1,
  maxLength: 5,
});

function decodedOrNot(text: string): unknown[] | undefined {
  try {
    return decodeFrames(text);
  } catch {
    return undefined;
  }
}

describe("frames in one message", () => {
  it("come back as they went, whatever texts are in them", () => {
    fc.assert(
      fc.property(frames, (given) => {
        expect(decodeFrames(encodeFrames(given))).toEqual(given);
      }),
    );
  });

  it("keep their values when there are line breaks between their tokens", () => {
    const spaced = fc
      .tuple(fc.jsonValue(), fc.constantFrom("\n", "\r\n", "\r", "\n\n\t"))
      .map(([value, lineBreak]) => ({
        value,
        text: JSON.stringify(value, null, 2).replaceAll("\n", lineBreak),
      }));
    fc.assert(
      fc.property(spaced, ({ value, text }) => {
        const [decoded, ...more] = decodeFrames(encodeFrames([{ envelope: { id: "1" }, frame: text }]));
        expect(more).toEqual([]);
        expect(JSON.parse(decoded!.frame)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it("are left to the byte when they are on one line already", () => {
    const frame = '{"b" : 1.50, "a":"\\u2028 \\n",  "b":2 }';
    expect(singleLine(frame)).toBe(frame);
    // Line ends to JavaScript, but not to this form, nor outside of strings to JSON.
    const separators = '"\u2028\u2029\u0085\v\f"';
    expect(decodeFrames(encodeFrames([{ envelope: {}, frame: separators }]))).toEqual([
      { envelope: {}, frame: separators },
    ]);
  });

  it("cannot be read when the message ends before they do", () => {
    fc.assert(
      fc.property(frames, fc.nat(), (given, at) => {
        const whole = encodeFrames(given);
        const length = at % whole.length;
        const decoded = decodedOrNot(whole.slice(0, length));
        if (decoded === undefined) return;
        // Cut exactly between two frames it is a shorter message, and the frames in it are whole.
        expect(decoded).toEqual(given.slice(0, decoded.length));
        expect(decoded.length).toBeLessThan(given.length);
      }),
    );
  });

  it.each([
    ["no frame at all", ""],
    ["an envelope that is no JSON", "not json\n{}\n"],
    ["an envelope that is no object", "null\n{}\n"],
    ["an envelope that is a list", "[]\n{}\n"],
    ["an envelope without its frame", '{"id":"1"}\n'],
    ["a frame without its end", '{"id":"1"}\n{}'],
  ])("cannot be read from %s", (_what, text) => {
    expect(() => decodeFrames(text)).toThrow(Error);
  });
});
