import { parseFrame, type RequestFrame } from "@tollgate/mcp";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ambiguityIn, argumentsOf } from "./call-arguments.ts";

function frameOf(params: string): RequestFrame {
  const parsed = parseFrame(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${params}}`);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.frame as RequestFrame;
}

test.each([
  ['{"name":"a","arguments":{"x" : 1.0}}', '{"x" : 1.0}'],
  ['{"name":"a"}', "{}"],
])("the arguments of %s are %s, as they were written", (params, expected) => {
  expect(argumentsOf(frameOf(params))).toBe(expected);
});

test.each<[string, string]>([
  ['{"a":1,"a":2}', 'the key "a" is given more than once'],
  ['{"a":1,"\\u0061":2}', 'the key "a" is given more than once'],
  ['{"path":1,"Path":2}', 'the key "path" is given more than once'],
  ['{"list":[{"b":1},{"c":{"d":1,"e":[],"d":{}}}]}', 'the key "d" is given more than once'],
  ['{"a":9007199254740993}', "a number has more digits than a double can hold"],
  ['{"a":[0.1234567890123456789]}', "a number has more digits than a double can hold"],
  ['{"a":1e400}', "a number has more digits than a double can hold"],
])("%s might be read in two ways", (text, reason) => {
  expect(ambiguityIn(text)).toBe(reason);
  expect(() => argumentsOf(frameOf(`{"arguments":${text}}`))).toThrow(`"params.arguments": ${reason}`);
});

test.each([
  '{"a":"{\\"a\\":1,\\"a\\":2}","b":["a","a","a"],"c":{"a":{"a":{"a":1}}}}',
  '{"a":0.30000000000000004,"b":-1.50,"c":1E5,"d":9007199254740991,"e":0,"f":1e-7}',
  '[{"a":1},{"a":1}]',
  '"9007199254740993"',
])("%s cannot", (text) => {
  expect(ambiguityIn(text)).toBeUndefined();
});

test("what JSON.stringify writes is never ambiguous", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value);
      // Keys that differ by their case only are another matter.
      fc.pre(text === text.toLowerCase());
      expect(ambiguityIn(text)).toBeUndefined();
    }),
  );
});

test("what is too long to be looked at is refused", () => {
  expect(() => argumentsOf(frameOf(`{"arguments":{"a":"${"x".repeat(65_536)}"}}`))).toThrow("65536 are allowed");
});
