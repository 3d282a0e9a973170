import { expect, test } from "vitest";
import { openSealedArguments } from "./sealed-arguments.ts";

const TEXT = '{"path":"/etc/é"}';
const sealed = openSealedArguments("a-service-key");

test("arguments come back as they were, and are nowhere in what is stored", () => {
  const stored = sealed.seal(TEXT, "id");
  expect(sealed.open(stored, "id")).toBe(TEXT);
  expect(stored.toString("latin1")).not.toContain("path");
  // Two of the same cannot be told to be the same.
  expect(sealed.seal(TEXT, "id").equals(stored)).toBe(false);
});

test.each<[string, (stored: Buffer) => [Buffer, string]]>([
  ["changed", (stored) => [Buffer.concat([stored.subarray(0, -1), Buffer.from([stored.at(-1)! ^ 1])]), "id"]],
  ["moved to another approval", (stored) => [stored, "other"]],
  ["cut", (stored) => [stored.subarray(0, 20), "id"]],
  ["empty", () => [Buffer.alloc(0), "id"]],
])("what was %s does not open", (_name, change) => {
  expect(() => sealed.open(...change(sealed.seal(TEXT, "id")))).toThrow("the arguments cannot be read");
});

test("without the key nothing opens, and no digest can be guessed", () => {
  const other = openSealedArguments("another-key");
  expect(() => other.open(sealed.seal(TEXT, "id"), "id")).toThrow("the arguments cannot be read");
  expect(sealed.digest(TEXT)).toMatch(/^[0-9a-f]{64}$/);
  expect(sealed.digest(TEXT)).toBe(openSealedArguments("a-service-key").digest(TEXT));
  expect(sealed.digest(TEXT)).not.toBe(other.digest(TEXT));
});
