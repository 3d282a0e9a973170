import { expect, test } from "vitest";
import { type Frame, isAnswerTo, parseLine, rawId } from "./frame.ts";

function frames(line: string): Frame[] {
  return parseLine(Buffer.from(line), { keepsBatches: false }).map((inbound) => {
    if (!inbound.ok) throw new Error(inbound.answer);
    return inbound.frame;
  });
}

function answer(line: string): unknown {
  const [inbound] = parseLine(Buffer.from(line), { keepsBatches: false });
  return inbound?.ok === false ? JSON.parse(inbound.answer) : undefined;
}

test("tells requests, notifications and responses apart, and their era", () => {
  const meta = '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}';
  expect(frames('{"id":0,"method":"ping"}')[0]).toMatchObject({
    kind: "request",
    id: 0,
    method: "ping",
    protocolVersion: undefined,
  });
  expect(frames('{"method":"notifications/x"}')[0]).toMatchObject({ kind: "notification", id: undefined });
  expect(frames('{"id":"a","result":{}}')[0]).toMatchObject({ kind: "response", id: undefined, method: "" });
  expect(frames(`{"id":1,"method":"resources/read","params":{"uri":"u",${meta}}}`)[0]).toMatchObject({
    protocolVersion: "2026-07-28",
    params: { uri: "u" },
  });
});

test("splits a batch into its elements as they are spelled", () => {
  const parts = frames('[ {"id":1.0,"method":"a"} ,{"method":"b","params":[1.0]}]');
  expect(parts.map((frame) => frame.bytes.toString())).toEqual([
    '{"id":1.0,"method":"a"}',
    '{"method":"b","params":[1.0]}',
  ]);
});

test("an id keeps its spelling", () => {
  for (const id of ["1.0", "12345678901234567890", '"\\u0041"']) {
    const [frame] = frames(`{"params":{"id":5},"id" : ${id} ,"method":"a"}`);
    expect(frame && rawId(frame)).toBe(id);
  }
});

test("answers what is no message, with its id where it has one", () => {
  expect(answer("{")).toMatchObject({ id: null, error: { code: -32700 } });
  for (const line of ["1", "null", "[]", '{"id":null,"method":"a"}', '{"id":true,"method":"a"}']) {
    expect(answer(line)).toMatchObject({ id: null, error: { code: -32600 } });
  }
  expect(answer('{"id":"x"}')).toMatchObject({ id: "x", error: { code: -32600 } });
  expect(answer('{"id":4,"method":5}')).toMatchObject({ id: 4, error: { code: -32600 } });
});

test("an answer has the id with its type, and a result or an error", () => {
  expect(isAnswerTo({ id: 1, result: {} }, 1)).toBe(true);
  expect(isAnswerTo({ id: 1, error: {} }, 1)).toBe(true);
  expect(isAnswerTo({ id: "1", result: {} }, 1)).toBe(false);
  expect(isAnswerTo({ id: 1, method: "ping", result: {} }, 1)).toBe(false);
  expect(isAnswerTo({ id: 1 }, 1)).toBe(false);
  expect(isAnswerTo({ result: {} }, undefined)).toBe(false);
});
