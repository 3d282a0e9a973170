import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Frame, type NotificationFrame, parseFrame, type RequestFrame, type ResponseFrame } from "./frame.ts";
import { resultItems, rewriteProgress, rewriteRequest, rewriteResponse, setParam, removeParams } from "./rewrite.ts";

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- each caller says which kind it wrote
function frameOf<F extends Frame>(text: string): F {
  const parsed = parseFrame(text);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.frame as F;
}

/** Numbers that JSON.parse and JSON.stringify would change, and fields that nobody knows. */
const ODD = '"x":1.0, "big":12345678901234567890,"e":1E5 ,"nested":{"id":7,"name":"inner"},"ünicode":"\\u00e9"';

describe("requests", () => {
  test("only the name changes", () => {
    const frame = frameOf<RequestFrame>(
      `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a__b" ,"arguments":{${ODD}}}}`,
    );
    expect(setParam(frame, ["name"], "b")).toEqual({ ok: true, text: frame.text.replace('"a__b"', '"b"') });
  });

  test("a name that is there twice is refused", () => {
    const frame = frameOf<RequestFrame>(
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}',
    );
    expect(setParam(frame, ["name"], "c")).toMatchObject({ ok: false });
  });

  test("id and progress token become ours and come back as they were", () => {
    const frame = frameOf<RequestFrame>(
      `{"id":"seven","jsonrpc":"2.0","method":"tools/call","params":{"_meta":{"progressToken":1.50,${ODD}},"name":"t"}}`,
    );
    const request = rewriteRequest(frame, { id: 42 });
    expect(request).toEqual({
      text: frame.text.replace('"seven"', "42").replace("1.50", "42"),
      idText: '"seven"',
      progressTokenText: "1.50",
    });
    const answer = frameOf<ResponseFrame>(`{"jsonrpc":"2.0","result":{${ODD}},"id":42}`);
    expect(rewriteResponse(answer, { idText: request.idText })).toBe(
      `{"jsonrpc":"2.0","result":{${ODD}},"id":"seven"}`,
    );
    const progress = frameOf<NotificationFrame>(
      '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":42,"progress":1}}',
    );
    expect(rewriteProgress(progress, request.progressTokenText!)).toContain('"progressToken":1.50,');
  });

  test.each([
    ['{"jsonrpc":"2.0","id":1,"method":"tools/list"}', { _meta: { k: 1 } }],
    ['{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}', { _meta: { k: 1 } }],
    ['{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"a":1}}', { a: 1, _meta: { k: 1 } }],
    ['{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{}}}', { _meta: { k: 1 } }],
    ['{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"k":0,"l":2}}}', { _meta: { k: 0, l: 2 } }],
  ])("_meta is added where it is missing: %s", (text, params) => {
    const { text: changed } = rewriteRequest(frameOf<RequestFrame>(text), { id: 9, meta: { k: 1 } });
    expect(JSON.parse(changed)).toMatchObject({ id: 9, params });
  });

  test("whatever else a frame holds stays as it was", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.oneof(fc.string(), fc.integer()), (args, id) => {
        const message = {
          jsonrpc: "2.0",
          id,
          method: "tools/call",
          params: { name: "t", arguments: args, _meta: { progressToken: id } },
        };
        const { text } = rewriteRequest(frameOf<RequestFrame>(JSON.stringify(message)), { id: 3 });
        const expected = { ...message, id: 3, params: { ...message.params, _meta: { progressToken: 3 } } };
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(expected)));
      }),
    );
  });
});

describe("responses", () => {
  test("resultType is added once, in front", () => {
    const members = { resultType: "complete" };
    const plain = frameOf<ResponseFrame>('{"jsonrpc":"2.0","id":4,"result":{"content":[]}}');
    expect(rewriteResponse(plain, { idText: '"a"', members })).toBe(
      '{"jsonrpc":"2.0","id":"a","result":{"resultType":"complete","content":[]}}',
    );
    const given = frameOf<ResponseFrame>('{"jsonrpc":"2.0","id":4,"result":{"resultType":"input_required"}}');
    expect(rewriteResponse(given, { idText: "1", members })).toContain('{"resultType":"input_required"}');
    const empty = frameOf<ResponseFrame>('{"jsonrpc":"2.0","id":4,"result":{}}');
    expect(rewriteResponse(empty, { idText: "1", members })).toContain('{"resultType":"complete"}');
  });

  test("an error is passed on whole", () => {
    const error = frameOf<ResponseFrame>(
      `{"jsonrpc":"2.0","id":4,"error":{"code":-32000,"message":"m","data":{${ODD}}}}`,
    );
    expect(rewriteResponse(error, { idText: "1", members: { resultType: "complete" } })).toBe(
      error.text.replace('"id":4', '"id":1'),
    );
  });

  test("tools keep their own text", () => {
    const tool = `{"name":"t", "inputSchema":{"type":"object"},${ODD}}`;
    expect(
      resultItems(frameOf<ResponseFrame>(`{"jsonrpc":"2.0","id":1,"result":{"tools":[ ${tool} , ${tool}]}}`), "tools"),
    ).toEqual([tool, tool]);
  });
});

describe("members of params that are taken out", () => {
  const of = (params: string) =>
    frameOf<RequestFrame>(`{"jsonrpc":"2.0","id":1,"method":"m","params":${params},"more":1.0}`);
  const without = (params: string) => removeParams(of(params), ["requestState", "inputResponses"]);

  test.each([
    ['{"requestState":"a,}","x":1.0}', '{"x":1.0}'],
    ['{ "x" : 1.0 , "inputResponses" : {"x":[1,{}]} , "y":"\\"" }', '{"x" : 1.0,"y":"\\""}'],
    ['{"x":1.0,"requestState":"","inputResponses":{}}', '{"x":1.0}'],
    ['{"request\\u0053tate":"a"}', "{}"],
    ['{ "x": {"requestState": 1} }', '{ "x": {"requestState": 1} }'],
    ["{ }", "{ }"],
  ])("%s leaves %s", (params, left) => {
    expect(without(params)).toBe(of(left).text);
  });

  test("are nothing where there are no params", () => {
    const frame = frameOf<RequestFrame>('{"jsonrpc":"2.0","id":1,"method":"m"}');
    expect(removeParams(frame, ["requestState"])).toBe(frame.text);
  });
});
