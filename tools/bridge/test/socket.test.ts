import { afterEach, expect, test, vi } from "vitest";
import { type Bridge, INITIALIZE, INITIALIZED, legacy, modern, TOKEN, useBridge } from "./bridge.ts";
import { type SocketEndpoint, type SocketMessage, type SocketOptions, startSocketEndpoint } from "./socket-endpoint.ts";

const bench = useBridge();
const endpoints: SocketEndpoint[] = [];
afterEach(() => Promise.all(endpoints.splice(0).map((endpoint) => endpoint.close())));

type Reply = (received: SocketMessage) => void;

async function start(reply: Reply, options?: SocketOptions): Promise<{ endpoint: SocketEndpoint; bridge: Bridge }> {
  const endpoint = await startSocketEndpoint(reply, options);
  endpoints.push(endpoint);
  return { endpoint, bridge: bench.start(undefined, { args: ["--url", endpoint.url, "--token", TOKEN] }) };
}

function answer({ body, message, socket }: SocketMessage, result = "{}"): void {
  const id = /"id":("[^"]*"|[\d.]+)/.exec(body)?.[1];
  if (message["method"] === "initialize") result = '{"protocolVersion":"2025-11-25","capabilities":{}}';
  if (id !== undefined) socket.send(`{"jsonrpc":"2.0","id":${id},"result":${result}}`);
}

const bodies = (endpoint: SocketEndpoint): string[] => endpoint.received.map(({ body }) => body);

test("each line is a message and each message a line, on one connection", async () => {
  const ask = '{"jsonrpc":"2.0","id":"srv-1","method":"roots/list","x":1.0}';
  const { endpoint, bridge } = await start((received) => {
    if (received.message["method"] === "tools/call") received.socket.send(ask);
    answer(received, '{"n":1.0,\n"big":12345678901234567890}');
  });
  const lines = [
    INITIALIZE,
    INITIALIZED,
    legacy("1.0", "tools/call", '{"n":1.0}'),
    '{"id":"srv-1","result":{"n":2.0}}',
  ];
  bridge.send(...lines.slice(0, 3));
  await vi.waitFor(() => expect(bridge.lines).toHaveLength(3));
  bridge.send(lines[3]!, modern('"1"', "tools/list"));
  await bridge.answer("1");
  expect(bridge.lines.slice(1, 3)).toEqual([
    ask,
    '{"jsonrpc":"2.0","id":1.0,"result":{"n":1.0, "big":12345678901234567890}}',
  ]);
  expect(bodies(endpoint)).toEqual([...lines, modern('"1"', "tools/list")]);
  expect(endpoint.handshakes).toHaveLength(1);
  expect(endpoint.handshakes[0]).toMatchObject({
    authorization: `Bearer ${TOKEN}`,
    "sec-websocket-protocol": "mcp",
    "tollgate-workspace": encodeURI(process.cwd()),
  });
  bridge.endInput();
  expect(await bridge.exited).toEqual({ code: 0, signal: null });
  await vi.waitFor(() => expect(endpoint.sockets.size).toBe(0));
});

test("a cancellation is sent, in both eras, and neither an answer nor progress follows", async () => {
  const { endpoint, bridge } = await start((received) => {
    if (received.message["method"] !== "tools/call") answer(received);
  });
  bridge.send(INITIALIZE, INITIALIZED);
  await bridge.answer(0);
  const cancelled = (id: number) => `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":${id}}}`;
  const progress = '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":1}}';
  bridge.send(
    legacy(1, "tools/call", '{"name":"a","_meta":{"progressToken":"p"}}'),
    modern(2, "tools/call", '"name":"a"'),
  );
  await vi.waitFor(() => expect(endpoint.received).toHaveLength(4));
  endpoint.received[3]?.socket.send(progress);
  await vi.waitFor(() => expect(bridge.lines.slice(1)).toEqual([progress]));
  bridge.send(cancelled(1), cancelled(2));
  await vi.waitFor(() => expect(bodies(endpoint).slice(4)).toEqual([cancelled(1), cancelled(2)]));
  endpoint.received[2]?.socket.send(progress);
  for (const received of endpoint.received.slice(2, 4)) answer(received);
  bridge.send(legacy(3, "ping"));
  await bridge.answer(3);
  expect(bridge.lines).toHaveLength(3);
});

test("after a lost connection an idle client's session is opened again, with all that it had asked for", async () => {
  const { endpoint, bridge } = await start((received) => answer(received));
  const level = legacy(1, "logging/setLevel", '{"level":"debug"}');
  const subscribe = legacy(2, "resources/subscribe", '{"uri":"test://a"}');
  bridge.send(INITIALIZE, INITIALIZED, level, subscribe);
  await bridge.answer(2);
  for (const socket of endpoint.sockets) socket.terminate();
  await vi.waitFor(() => expect(bodies(endpoint).slice(4)).toEqual([INITIALIZE, INITIALIZED, level, subscribe]), {
    timeout: 5_000,
  });
  const changed = '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}';
  for (const socket of endpoint.sockets) socket.send(changed);
  await vi.waitFor(() => expect(bridge.lines.slice(3)).toEqual([changed]));
});

test("nothing of a session goes over a new connection before the session is opened there", async () => {
  const { endpoint, bridge } = await start((received) => answer(received));
  bridge.send(INITIALIZE);
  await bridge.answer(0);
  for (const socket of endpoint.sockets) socket.terminate();
  await vi.waitFor(() => expect(endpoint.sockets.size).toBe(0));
  const call = legacy(1, "tools/call", '{"name":"a"}');
  bridge.send(call);
  expect((await bridge.answer(1))["result"]).toEqual({});
  expect(bodies(endpoint)).toEqual([INITIALIZE, INITIALIZE, INITIALIZED, call]);
});

test("requests under way when the connection is lost: a call's outcome is unknown, the rest goes again", async () => {
  const { endpoint, bridge } = await start((received) => {
    if (endpoint.handshakes.length === 1 && received.message["id"] !== 0) {
      if (received.message["id"] === 2) received.socket.terminate();
      return;
    }
    answer(received);
  });
  bridge.send(INITIALIZE, INITIALIZED);
  await bridge.answer(0);
  bridge.send(legacy(1, "tools/call", '{"name":"a"}'), legacy(2, "tools/list"));
  expect((await bridge.answer(1))["error"]).toMatchObject({ code: -32009, data: { retryable: false } });
  expect((await bridge.answer(2))["result"]).toEqual({});
  expect(bodies(endpoint).filter((body) => body.includes("tools/call"))).toHaveLength(1);
});

test("a lost subscription is made again, its messages go to it alone", async () => {
  const meta = '"_meta":{"io.modelcontextprotocol/subscriptionId":"listen:0"}';
  const acknowledged = `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{${meta},"notifications":{}}}`;
  const changed = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{${meta}}}`;
  const listen = modern('"listen:0"', "subscriptions/listen");
  const { endpoint, bridge } = await start(({ message, socket }) => {
    if (message["method"] === "subscriptions/listen") socket.send(acknowledged);
  });
  bridge.send(listen);
  await vi.waitFor(() => expect(bridge.lines).toEqual([acknowledged]));
  endpoint.received[0]?.socket.terminate();
  await vi.waitFor(() => expect(bodies(endpoint)).toEqual([listen, listen]), { timeout: 5_000 });
  endpoint.received[1]?.socket.send(changed);
  await vi.waitFor(() => expect(bridge.lines).toEqual([acknowledged, changed]));
  const end = `{"jsonrpc":"2.0","id":"listen:0","result":{"resultType":"complete",${meta}}}`;
  const last = '{"jsonrpc":"2.0","method":"notifications/last"}';
  for (const line of [end, changed, last]) endpoint.received[1]?.socket.send(line);
  await vi.waitFor(() => expect(bridge.lines).toEqual([acknowledged, changed, end, last]));
});

test("a handshake that is refused says why; one that is busy is tried again", async () => {
  const refused = await start((received) => answer(received), { refusal: () => 401 });
  refused.bridge.send(modern(1, "ping"), modern(2, "tools/call", '"name":"a"'));
  for (const id of [1, 2]) expect((await refused.bridge.answer(id))["error"]).toMatchObject({ code: -32001 });

  const { endpoint } = refused;
  await endpoint.close();
  refused.bridge.send(modern(3, "tools/call", '"name":"a"'));
  const { error } = await refused.bridge.answer(3);
  expect(error).toMatchObject({ code: -32008, data: { retryable: true } });
  expect(error.message).toContain(`cannot reach the gateway at ${new URL(endpoint.url).origin}`);
});

test("an answer of several megabytes passes whole", async () => {
  const text = "ä😀".repeat(500_000);
  const { bridge } = await start((received) => answer(received, `{"text":"${text}"}`));
  bridge.send(modern(1, "tools/list"));
  expect((await bridge.answer(1))["result"].text).toBe(text);
});

test("ends within a second on SIGINT although requests hang", async () => {
  const { endpoint, bridge } = await start(() => {});
  bridge.send(modern(1, "tools/call", '"name":"a"'));
  await vi.waitFor(() => expect(endpoint.received).toHaveLength(1));
  const signalled = Date.now();
  bridge.signal("SIGINT");
  expect(await bridge.exited).toEqual({ code: 0, signal: null });
  expect(Date.now() - signalled).toBeLessThan(1_000);
  expect((await bridge.answer(1))["error"].code).toBe(-32009);
});
