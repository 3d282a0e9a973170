import { expect, test, vi } from "vitest";
import { modern, TOKEN, useBridge } from "./bridge.ts";
import { json, openStream, resultFor } from "./endpoint.ts";

const bench = useBridge();

test("frames pass unchanged both ways, whatever numbers, doubled keys and ids they hold", async () => {
  const requests = [
    modern(
      1,
      "tools/call",
      '"name":"a","arguments":{"x":1.0,"y":12345678901234567890,"z":1E400,"x":2,"ü":"\\u00e9 é 😀"}',
    ),
    modern('"1"', "tools/call", '"name":"a","unknown":{"deep":[1.50,-0,{}]}'),
    modern("12345678901234567890", "tools/call", '"name" :  "a"'),
  ];
  const odd =
    '{"n":1.0,"big":98765432109876543210,"twice":1,"twice":2,"text":"line\\nbreak \u2028 😀","content":[{"type":"not-yet-known"}]}';
  const endpoint = await bench.endpoint((received, response) => json(response, resultFor(received, odd)));
  const bridge = bench.start(endpoint);
  bridge.send(...requests);
  await vi.waitFor(() => expect(bridge.lines).toHaveLength(3));
  expect(endpoint.received.map((entry) => entry.body).toSorted()).toEqual(requests.toSorted());
  expect(bridge.lines.toSorted()).toEqual(
    ["1", '"1"', "12345678901234567890"].map((id) => `{"jsonrpc":"2.0","id":${id},"result":${odd}}`).toSorted(),
  );
});

test("a pretty-printed answer becomes one line", async () => {
  const endpoint = await bench.endpoint((received, response) =>
    json(response, `{\r\n  "jsonrpc": "2.0",\n  "id": ${received.message["id"]},\n  "result": {"a": "b\\n"}\n}\n`),
  );
  const bridge = bench.start(endpoint);
  bridge.send(modern(1, "tools/list"));
  expect(await bridge.answer(1)).toEqual({ jsonrpc: "2.0", id: 1, result: { a: "b\n" } });
  expect(bridge.lines).toHaveLength(1);
});

test("sends the headers of the modern era, with names made safe", async () => {
  const endpoint = await bench.endpoint((received, response) => json(response, resultFor(received)));
  const bridge = bench.start(endpoint);
  bridge.send(modern(1, "tools/call", '"name":"echo tool"'), modern(2, "resources/read", '"uri":"test://größe"'));
  bridge.send(
    modern(3, "prompts/get", '"name":" padded"'),
    modern(4, "tasks/get", '"taskId":"=?base64?x?="'),
    modern(5, "tools/list"),
  );
  for (const id of [1, 2, 3, 4, 5]) await bridge.answer(id);
  const headersOf = (method: string) => endpoint.calls(method)[0]?.headers ?? {};
  expect(headersOf("tools/call")).toMatchObject({
    authorization: `Bearer ${TOKEN}`,
    accept: "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "echo tool",
  });
  expect(headersOf("tools/call")["mcp-session-id"]).toBeUndefined();
  expect(headersOf("resources/read")["mcp-name"]).toBe(`=?base64?${Buffer.from("test://größe").toString("base64")}?=`);
  expect(headersOf("prompts/get")["mcp-name"]).toBe(`=?base64?${Buffer.from(" padded").toString("base64")}?=`);
  expect(headersOf("tasks/get")["mcp-name"]).toBe(`=?base64?${Buffer.from("=?base64?x?=").toString("base64")}?=`);
  expect(headersOf("tools/list")["mcp-name"]).toBeUndefined();
});

test("passes progress on as it arrives, and nothing of a request after its answer", async () => {
  let finish = (): void => {};
  const endpoint = await bench.endpoint((received, response) => {
    const send = openStream(response);
    const progress = (value: string) =>
      send(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":${value}}}`);
    response.write(": a comment\n\nid: 1\ndata:\n\n");
    progress("0.50");
    finish = () => {
      send(`{"jsonrpc":"2.0",\n"id":${received.message["id"]},"result":{}}`);
      progress("2");
      response.end();
    };
  });
  const bridge = bench.start(endpoint);
  bridge.send(modern(7, "tools/call", '"name":"slow"'));
  await vi.waitFor(() =>
    expect(bridge.lines).toEqual([
      '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":0.50}}',
    ]),
  );
  finish();
  await bridge.answer(7);
  bridge.send(modern(8, "tools/call", '"name":"slow"'));
  await vi.waitFor(() => expect(bridge.lines).toHaveLength(3));
  expect(bridge.lines[1]).toBe('{"jsonrpc":"2.0", "id":7,"result":{}}');
  expect(bridge.lines[2]).toBe(bridge.lines[0]);
  finish();
  await bridge.answer(8);
  expect(bridge.lines).toHaveLength(4);
});

test("a cancellation closes the request's response, is not forwarded, and nothing answers", async () => {
  const endpoint = await bench.endpoint((received, response) => {
    if (received.message["method"] === "tools/list") json(response, resultFor(received));
    else openStream(response);
  });
  const bridge = bench.start(endpoint);
  bridge.send(modern('"5"', "tools/call", '"name":"slow"'), modern(5, "tools/call", '"name":"slow"'));
  await vi.waitFor(() => expect(endpoint.received).toHaveLength(2));
  bridge.send('{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":5}}');
  const byId = (id: unknown) => endpoint.received.find((entry) => entry.message["id"] === id);
  await vi.waitFor(() => expect(byId(5)?.abandoned).toBe(true));
  expect(byId("5")?.abandoned).toBe(false);
  bridge.send(modern(6, "tools/list"));
  await bridge.answer(6);
  expect(bridge.lines).toHaveLength(1);
  expect(endpoint.calls("notifications/cancelled")).toEqual([]);
});

test("slow requests do not hold up others", async () => {
  const endpoint = await bench.endpoint((received, response) => {
    if (received.message["params"].name !== "slow") json(response, resultFor(received));
  });
  const bridge = bench.start(endpoint);
  bridge.send(
    ...Array.from({ length: 100 }, (_, index) => modern(`"slow-${index}"`, "tools/call", '"name":"slow"')),
    modern(1, "tools/call", '"name":"quick"'),
  );
  await bridge.answer(1);
  expect(bridge.lines).toHaveLength(1);
});

test("refuses what is too much at once, and takes requests again afterwards", async () => {
  const waiting: (() => void)[] = [];
  const endpoint = await bench.endpoint(
    (received, response) => void waiting.push(() => json(response, resultFor(received))),
  );
  const bridge = bench.start(endpoint);
  bridge.send(...Array.from({ length: 257 }, (_, index) => modern(index, "tools/list")));
  expect((await bridge.answer(256))["error"]).toMatchObject({
    code: -32005,
    data: { code: "overloaded", retryable: true },
  });
  await vi.waitFor(() => expect(waiting).toHaveLength(256));
  for (const answer of waiting.splice(0)) answer();
  await vi.waitFor(() => expect(bridge.lines).toHaveLength(257));
  bridge.send(modern(300, "tools/list"));
  await vi.waitFor(() => expect(waiting).toHaveLength(1));
  waiting[0]?.();
  expect((await bridge.answer(300))["result"]).toEqual({});
});

test("an answer of several megabytes passes whole, in one event and in one body", async () => {
  const text = "ä😀".repeat(500_000);
  const endpoint = await bench.endpoint((received, response) => {
    const result = resultFor(received, `{"text":"${text}"}`);
    if (received.message["id"] === 1) return json(response, result);
    openStream(response)(result);
    response.end();
  });
  const bridge = bench.start(endpoint);
  bridge.send(modern(1, "tools/list"), modern(2, "tools/list"));
  expect((await bridge.answer(1))["result"].text).toBe(text);
  expect((await bridge.answer(2))["result"].text).toBe(text);
});
