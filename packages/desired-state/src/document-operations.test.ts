import { expect, test } from "vitest";
import { operationsOfDocument } from "./document-operations.ts";

const ALL = { include: [], exclude: [] };

function documentOf(title: string, operations = 1, text = ""): string {
  const paths = Object.fromEntries(
    Array.from({ length: operations }, (_, at) => [
      `/${title}/${at}`,
      { get: { description: text, parameters: [{ $ref: "#/components/parameters/wide" }] } },
    ]),
  );
  const schema = {
    type: "object",
    properties: Object.fromEntries(["a", "b", "c", "d", "e", "f"].map((name) => [name, wordy(text)])),
  };
  const parameters = { wide: { in: "query", name: "wide", schema } };
  return JSON.stringify({ openapi: "3.1.0", info: { title }, paths, components: { parameters } });
}

function wordy(description: string) {
  return { type: "string", description };
}

test("documents of a file are read once, however many there are", () => {
  const texts = Array.from({ length: 300 }, (_, at) => documentOf(`api-${at}`));
  const first = texts.map((text) => operationsOfDocument(text, ALL));
  // The same result is one that was kept.
  for (const [at, text] of texts.entries()) expect(operationsOfDocument(text, ALL)).toBe(first[at]);
  expect(operationsOfDocument(texts[0]!, { include: ["tag:none"], exclude: [] })).not.toBe(first[0]);
});

test("what is kept of them is bounded; what was asked for last stays", () => {
  // About 10 MiB each.
  const large = (at: number) => operationsOfDocument(documentOf(`large-${at}`, 1_900, "word ".repeat(200)), ALL);
  const small = documentOf("small");
  const [one, two] = [operationsOfDocument(small, ALL), large(0)];
  for (const at of [1, 2, 3]) large(at);
  expect(operationsOfDocument(small, ALL)).toBe(one);
  for (const at of [4, 5, 6, 7]) large(at);
  expect(operationsOfDocument(small, ALL)).toBe(one);
  expect(large(0)).not.toBe(two);
});
