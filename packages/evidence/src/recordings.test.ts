import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { keyedHash, openRecording, parseRecordingKeys, RECORDED_BYTES_MAX, sealRecording } from "./recordings.ts";

const OLD = `old:${Buffer.alloc(32, 1).toString("base64url")}`;
const NEW = `new:${Buffer.alloc(32, 2).toString("base64url")}`;

function keysOf(text: string) {
  const parsed = parseRecordingKeys(text);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.value;
}

describe("recordings", () => {
  it("opens what it has sealed, also when a new key stands in front", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }), (given, result) => {
        const recording = sealRecording({ keys: keysOf(OLD), callId: "a", parts: { arguments: given, result } });
        const opened = openRecording({ keys: keysOf(`${NEW}, ${OLD}`), callId: "a", recording });
        const utf8 = (text: string): string => Buffer.from(text).toString();
        expect(opened).toEqual({ arguments: utf8(given), result: utf8(result) });
        expect(recording.keyId).toBe("old");
      }),
    );
  });

  it("opens nothing of another call, of the other part, changed, cut or under another key", () => {
    const keys = keysOf(OLD);
    const recording = sealRecording({ keys, callId: "a", parts: { arguments: "{}" } });
    const sealed = recording.arguments!;
    const open = (change: object, callId = "a") =>
      openRecording({ keys, callId, recording: { ...recording, ...change } });

    expect(() => open({}, "b")).toThrow("changed");
    expect(() => open({ arguments: undefined, result: sealed })).toThrow("changed");
    const bytes = Buffer.from(sealed, "base64");
    for (const at of bytes.keys()) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1;
      expect(() => open({ arguments: changed.toString("base64") })).toThrow("changed");
      expect(() => open({ arguments: bytes.subarray(0, at).toString("base64") })).toThrow("changed");
    }
    const other = { ...keysOf(NEW), byId: new Map([["old", keysOf(NEW).current]]) };
    expect(() => openRecording({ keys: other, callId: "a", recording })).toThrow("changed");
    expect(() => openRecording({ keys: keysOf(NEW), callId: "a", recording })).toThrow("the recording's key old");
  });

  it("names what is too large, and keeps what fits", () => {
    const keys = keysOf(OLD);
    const large = "x".repeat(RECORDED_BYTES_MAX - 1);
    const seal = (parts: object) => sealRecording({ keys, callId: "a", parts });
    expect(seal({ arguments: large, result: "{}" })).toMatchObject({
      arguments: expect.any(String),
      omitted: ["result"],
    });
    expect(seal({ arguments: `${large}xx`, result: "{}" })).toMatchObject({
      result: expect.any(String),
      omitted: ["arguments"],
    });
    expect(seal({ arguments: large, result: "1" })).not.toHaveProperty("omitted");
  });

  it("hashes with the key in front", () => {
    expect(keyedHash(keysOf(OLD), "{}")).toMatch(/^old:[0-9a-f]{64}$/);
    expect(keyedHash(keysOf(OLD), "{}")).toBe(keyedHash(keysOf(`${OLD},${NEW}`), "{}"));
    expect(keyedHash(keysOf(`${NEW},${OLD}`), "{}").slice(4)).not.toBe(keyedHash(keysOf(OLD), "{}").slice(4));
  });

  it("refuses keys of another form without repeating them", () => {
    const secret = Buffer.alloc(31, 7).toString("base64url");
    for (const text of [
      "",
      "a",
      `a:${secret}`,
      `${OLD},a:${secret}`,
      `${OLD}:x`,
      `${OLD},`,
      `a b:${OLD.slice(4)}`,
      `${OLD}=`,
    ]) {
      const parsed = parseRecordingKeys(text);
      expect(parsed.ok).toBe(false);
      if (!parsed.ok) expect(parsed.reason).not.toContain(secret);
    }
    expect(parseRecordingKeys(`${OLD},${OLD}`)).toEqual({ ok: false, reason: "key 2 has the id of a key before it" });
  });
});
