import { parseFrame, type RequestFrame } from "@tollgate/mcp";
import { expect, test } from "vitest";
import { createServerQuestions } from "./server-questions.ts";

const request = (id: unknown, method = "roots/list"): RequestFrame => {
  const parsed = parseFrame(JSON.stringify({ jsonrpc: "2.0", id, method }));
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.frame as RequestFrame;
};

test("ids that differ in their type are two questions, and each is answered once", () => {
  const sent: any[] = [];
  const questions = createServerQuestions((text) => sent.push(JSON.parse(text)));
  const [number, string] = [questions.receive(request(1))!, questions.receive(request("1"))!];
  expect(questions.receive(request(1))).toBeUndefined();
  string.answer(`{"jsonrpc":"2.0","id":${string.idText},"result":"s"}`);
  number.refuse(-1, "no");
  number.answer("{}");
  expect(sent).toEqual([
    { jsonrpc: "2.0", id: "1", result: "s" },
    { jsonrpc: "2.0", id: 1, error: { code: -1, message: "no" } },
  ]);
});

test("a server that asks without end gets errors, and may ask again when it was answered", () => {
  const sent: any[] = [];
  const questions = createServerQuestions((text) => sent.push(JSON.parse(text)));
  const open = Array.from({ length: 64 }, (_each, id) => questions.receive(request(id)));
  expect(open).not.toContain(undefined);
  expect(questions.receive(request("more"))).toBeUndefined();
  expect(sent).toEqual([expect.objectContaining({ id: "more", error: expect.objectContaining({ code: -32603 }) })]);
  open[0]!.refuse(-1, "no");
  expect(questions.receive(request("again"))).toBeDefined();
});

test("a connection that ends closes them", () => {
  const questions = createServerQuestions(() => undefined);
  const closed: unknown[] = [];
  questions.receive(request(1))!.onClosed = (notice) => closed.push(notice);
  questions.close();
  questions.close();
  expect(closed).toEqual([undefined]);
});
