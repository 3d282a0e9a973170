import fc from "fast-check";
import { expect, test } from "vitest";
import { parseFrame } from "./frame.ts";
import { RPC } from "./protocol.ts";

test("reads the three kinds", () => {
  expect(parseFrame('{"jsonrpc":"2.0","id":"7","method":"ping"}')).toMatchObject({
    ok: true,
    frame: { kind: "request", id: "7" },
  });
  expect(parseFrame('{"jsonrpc":"2.0","method":"notifications/x"}')).toMatchObject({
    ok: true,
    frame: { kind: "notification" },
  });
  expect(parseFrame('{"jsonrpc":"2.0","id":7,"result":{}}')).toMatchObject({
    ok: true,
    frame: { kind: "response", id: 7 },
  });
});

test.each([
  ["{", RPC.parseError, null],
  ["", RPC.parseError, null],
  ["[]", RPC.invalidRequest, null],
  ["null", RPC.invalidRequest, null],
  ['"text"', RPC.invalidRequest, null],
  ['{"id":1,"method":"ping"}', RPC.invalidRequest, 1],
  ['{"jsonrpc":"2.0","id":null,"method":"ping"}', RPC.invalidRequest, null],
  ['{"jsonrpc":"2.0","id":{},"method":"ping"}', RPC.invalidRequest, null],
  ['{"jsonrpc":"2.0","id":1,"method":7}', RPC.invalidRequest, 1],
  ['{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}', RPC.invalidParams, 1],
  ['{"jsonrpc":"2.0","id":1,"method":"ping","params":null}', RPC.invalidParams, 1],
  ['{"jsonrpc":"2.0","id":1}', RPC.invalidRequest, 1],
  ['{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}', RPC.invalidRequest, 1],
  ['{"jsonrpc":"2.0","id":1,"ID":2,"method":"a"}', RPC.invalidRequest, 1],
])("refuses %s", (text, code, id) => {
  expect(parseFrame(text)).toMatchObject({ ok: false, code, id });
});

test("no text makes it throw", () => {
  const jsonLike = fc.jsonValue().map((value) => JSON.stringify(value));
  const message = fc.record(
    { jsonrpc: fc.constantFrom("2.0", 2), id: fc.jsonValue(), method: fc.jsonValue(), params: fc.jsonValue() },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        jsonLike,
        message.map((each) => JSON.stringify(each)),
      ),
      (text) => {
        const parsed = parseFrame(text);
        if (!parsed.ok) expect(parsed.reason).not.toBe("");
      },
    ),
    { numRuns: 2_000 },
  );
});
