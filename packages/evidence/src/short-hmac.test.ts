import { createHmac } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createShortHmac } from "./short-hmac.ts";

const key = Buffer.from("0123456789abcdef0123456789abcdef");
const hmac = createShortHmac(key);
const reference = (text: string) => createHmac("sha256", key).update(text).digest("hex");

test("is HMAC-SHA256, whatever the text, and whatever came before it", () => {
  const text = fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.string({ unit: "grapheme", maxLength: 3_000 }));
  fc.assert(fc.property(text, (each) => hmac(each) === reference(each)));
});

test.each([0, 1, 63, 64, 65, 5_461, 5_462, 16_384, 16_385, 1_000_000])("of %i characters of three bytes", (length) => {
  const text = "€".repeat(length);
  expect(hmac(text)).toBe(reference(text));
});

test("of half a pair: as node writes it", () => {
  expect(hmac("a\ud800b")).toBe(reference("a\ud800b"));
});
