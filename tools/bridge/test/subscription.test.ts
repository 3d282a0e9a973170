import type { ServerResponse } from "node:http";
import { expect, test, vi } from "vitest";
import { modern, useBridge } from "./bridge.ts";
import { json, openStream, type Reply, resultFor } from "./endpoint.ts";

const bench = useBridge();
const META = '"_meta":{"io.modelcontextprotocol/subscriptionId":"listen:0"}';
const WANTED = '"notifications":{"toolsListChanged":true,"resourceSubscriptions":["test://a"]}';
const ACKNOWLEDGED = `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{${META},${WANTED}}}`;
const TOOLS_CHANGED = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{${META}}}`;
const LISTEN = modern('"listen:0"', "subscriptions/listen", WANTED);

interface Subscriptions {
  readonly reply: Reply;
  readonly streams: ServerResponse[];
}

function subscriptions(): Subscriptions {
  const streams: ServerResponse[] = [];
  const reply: Reply = (received, response) => {
    if (received.message["method"] !== "subscriptions/listen") return json(response, resultFor(received));
    openStream(response)(ACKNOWLEDGED);
    streams.push(response);
  };
  return { reply, streams };
}

const event = (data: string): string => `data: ${data}\n\n`;

test("follows Claude Code's opening: the probe is answered, the subscription brings what comes", async () => {
  const { reply, streams } = subscriptions();
  const endpoint = await bench.endpoint(reply);
  const bridge = bench.start(endpoint);
  bridge.send(modern('"server-discover-probe-1"', "server/discover"));
  await bridge.answer("server-discover-probe-1");
  bridge.send(LISTEN);
  await vi.waitFor(() => expect(bridge.lines.slice(1)).toEqual([ACKNOWLEDGED]));
  streams[0]?.write(event(TOOLS_CHANGED));
  await vi.waitFor(() => expect(bridge.lines.slice(2)).toEqual([TOOLS_CHANGED]));
  expect(endpoint.calls("subscriptions/listen")[0]?.headers).toMatchObject({
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "subscriptions/listen",
  });
  const end = `{"jsonrpc":"2.0","id":"listen:0","result":{"resultType":"complete",${META}}}`;
  streams[0]?.end(event(end));
  await vi.waitFor(() => expect(bridge.lines.slice(3)).toEqual([end]));
});

test("a lost subscription is made again; the client only learns that it may have missed something", async () => {
  const { reply, streams } = subscriptions();
  let times = 0;
  const endpoint = await bench.endpoint((received, response) =>
    ++times === 2 ? void response.writeHead(502).end() : reply(received, response),
  );
  const bridge = bench.start(endpoint);
  bridge.send(LISTEN);
  await vi.waitFor(() => expect(streams).toHaveLength(1));
  streams[0]?.destroy();
  await vi.waitFor(() => expect(streams).toHaveLength(2), { timeout: 5_000 });
  streams[1]?.end();
  await vi.waitFor(() => expect(streams).toHaveLength(3), { timeout: 5_000 });
  const missed = [
    TOOLS_CHANGED,
    `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"test://a",${META}}}`,
  ];
  await vi.waitFor(() => expect(bridge.lines).toEqual([ACKNOWLEDGED, ...missed, ...missed]));
  expect(endpoint.received.map(({ body }) => body)).toEqual(Array(4).fill(LISTEN));
});

test("one that the gateway refuses is answered with that, at first and later", async () => {
  const refusal = '{"jsonrpc":"2.0","id":"listen:0","error":{"code":-32601,"message":"no such method"}}';
  const endpoint = await bench.endpoint((_received, response) => json(response, refusal, 404));
  const bridge = bench.start(endpoint);
  bridge.send(LISTEN);
  await bridge.answer("listen:0");
  expect(bridge.lines).toEqual([refusal]);

  const gone = await bench.endpoint((_received, response) => {
    if (gone.received.length > 1) return json(response, '{"detail":"token revoked"}', 401);
    openStream(response)(ACKNOWLEDGED);
    setTimeout(() => response.destroy(), 20);
  });
  const other = bench.start(gone);
  other.send(LISTEN);
  expect((await other.answer("listen:0"))["error"]).toMatchObject({ code: -32001 });
  expect(other.lines).toHaveLength(2);
});

test("cancelling it closes its stream, is not forwarded, and it is not made again", async () => {
  const { reply, streams } = subscriptions();
  const endpoint = await bench.endpoint(reply);
  const bridge = bench.start(endpoint);
  bridge.send(LISTEN);
  await vi.waitFor(() => expect(bridge.lines).toHaveLength(1));
  bridge.send('{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"listen:0"}}');
  await vi.waitFor(() => expect(endpoint.received[0]?.abandoned).toBe(true));
  await new Promise((resolve) => setTimeout(resolve, 400)); // Longer than the first wait before another attempt.
  expect(streams).toHaveLength(1);
  expect(endpoint.received).toHaveLength(1);
  expect(bridge.lines).toHaveLength(1);
});

test("it does not hold up the end, and ends in good order", async () => {
  const endpoint = await bench.endpoint(subscriptions().reply);
  const bridge = bench.start(endpoint);
  bridge.send(LISTEN);
  await vi.waitFor(() => expect(bridge.lines).toHaveLength(1));
  const ended = Date.now();
  bridge.endInput();
  expect(await bridge.exited).toEqual({ code: 0, signal: null });
  expect(Date.now() - ended).toBeLessThan(500);
  expect(bridge.lines[1]).toBe(`{"jsonrpc":"2.0","id":"listen:0","result":{"resultType":"complete",${META}}}`);
});

test("input that a server needs passes like any other result", async () => {
  const result = '{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"}},"requestState":"s 1.0"}';
  const endpoint = await bench.endpoint((received, response) => json(response, resultFor(received, result)));
  const bridge = bench.start(endpoint);
  const retry = modern('"2"', "tools/call", '"name":"a","inputResponses":{"a":{"roots":[]}},"requestState":"s 1.0"');
  bridge.send(modern(1, "tools/call", '"name":"a"'), retry);
  await bridge.answer(1);
  await bridge.answer("2");
  expect(bridge.lines.toSorted()).toEqual(
    ['"2"', "1"].map((id) => `{"jsonrpc":"2.0","id":${id},"result":${result}}`).toSorted(),
  );
  expect(endpoint.received.some(({ body }) => body === retry)).toBe(true);
});
