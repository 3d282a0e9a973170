import { expect, test } from "vitest";
import { markResult } from "./marks.ts";

const response = (rest: string) => `{"jsonrpc":"2.0","id":1,${rest}}`;

test.each([
  ["without _meta", '"result":{"n":1.0,"x":[]}', '"result":{"_meta":{"k":{"a":1}},"n":1.0,"x":[]}'],
  ["that is empty", '"result":{}', '"result":{"_meta":{"k":{"a":1}}}'],
  [
    "with _meta",
    '"result":{"n":1.0,"_meta": {"o":12345678901234567890}}',
    '"result":{"n":1.0,"_meta": {"k":{"a":1},"o":12345678901234567890}}',
  ],
  ["with an empty _meta", '"result":{"_meta":{}}', '"result":{"_meta":{"k":{"a":1}}}'],
  ["with a mark of its own", '"result":{"_meta":{"k":"forged","o":1}}', '"result":{"_meta":{"k":{"a":1},"o":1}}'],
  ["whose _meta is no object", '"result":{"_meta":null}', '"result":{"_meta":{"k":{"a":1}}}'],
  ["that is no object", '"result":7', '"result":7'],
])("a result %s", (_name, before, after) => {
  expect(markResult(response(before), "k", { a: 1 })).toBe(response(after));
});

test("an error gets no mark", () => {
  const text = response('"error":{"code":-1,"message":"m"}');
  expect(markResult(text, "k", { a: 1 })).toBe(text);
});
