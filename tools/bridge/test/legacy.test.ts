import { expect, test, vi } from "vitest";
import { INITIALIZE, INITIALIZED, legacy, useBridge } from "./bridge.ts";
import { json, legacyReply, openStream, resultFor } from "./endpoint.ts";

const bench = useBridge();

test("keeps the session: nothing overtakes initialize, and every later request carries its id and version", async () => {
  const behaviour = legacyReply((received, response) => json(response, resultFor(received)));
  const endpoint = await bench.endpoint(async (received, response) => {
    // Slow openings would let an eager request through first.
    if (endpoint.received.length <= 2) await new Promise((resolve) => setTimeout(resolve, 50));
    await behaviour(received, response);
  });
  const bridge = bench.start(endpoint);
  bridge.send(INITIALIZE, INITIALIZED, legacy('"a"', "tools/list"), legacy(2, "ping"));
  expect((await bridge.answer("a"))["result"]).toEqual({});
  await bridge.answer(2);
  expect(endpoint.received.slice(0, 2).map((entry) => entry.body)).toEqual([INITIALIZE, INITIALIZED]);
  expect(endpoint.received[0]?.headers["mcp-session-id"]).toBeUndefined();
  for (const entry of endpoint.received.slice(1)) {
    expect(entry.headers).toMatchObject({ "mcp-session-id": "session-1", "mcp-protocol-version": "2025-11-25" });
    expect(entry.headers["mcp-method"]).toBeUndefined();
  }
  bridge.endInput();
  expect(await bridge.exited).toEqual({ code: 0, signal: null });
  expect(endpoint.received.at(-1)?.verb).toBe("DELETE");
  expect(behaviour.sessions.size).toBe(0);
});

test("opens a new session by itself when the gateway has forgotten the old one", async () => {
  const behaviour = legacyReply((received, response) => json(response, resultFor(received)));
  const endpoint = await bench.endpoint(behaviour);
  const bridge = bench.start(endpoint);
  bridge.send(INITIALIZE, INITIALIZED, legacy(1, "tools/list"));
  await bridge.answer(1);
  behaviour.sessions.clear();
  bridge.send(...[2, 3, 4, 5].map((id) => legacy(id, "tools/call", '{"name":"x"}')));
  for (const id of [2, 3, 4, 5]) expect((await bridge.answer(id))["result"]).toEqual({});
  expect(endpoint.calls("initialize").map((entry) => entry.body)).toEqual([INITIALIZE, INITIALIZE]);
  expect(endpoint.calls("notifications/initialized")).toHaveLength(2);
  expect(bridge.lines).toHaveLength(6);
});

test("says so when no new session can be had, once per request", async () => {
  const behaviour = legacyReply((received, response) => json(response, resultFor(received)));
  let closed = false;
  const endpoint = await bench.endpoint((received, response) => {
    if (closed && received.message["method"] === "initialize") return json(response, '{"detail":"no more sessions"}', 403);
    return behaviour(received, response);
  });
  const bridge = bench.start(endpoint);
  bridge.send(INITIALIZE, INITIALIZED, legacy(1, "tools/list"));
  await bridge.answer(1);
  behaviour.sessions.clear();
  closed = true;
  bridge.send(legacy(2, "tools/list"));
  expect((await bridge.answer(2))["error"]).toMatchObject({ code: -32003, message: "the gateway forbids this (403): no more sessions" });
  expect(endpoint.calls("initialize")).toHaveLength(2);
});

test("a cancellation reaches the gateway while its target still runs, and the target gets no answer", async () => {
  let finish = (): void => {};
  const behaviour = legacyReply((received, response) => {
    if (received.message["method"] === "ping") return json(response, resultFor(received));
    const send = openStream(response);
    finish = () => {
      send('{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}');
      send(resultFor(received));
      response.end();
    };
  });
  const endpoint = await bench.endpoint(behaviour);
  const bridge = bench.start(endpoint);
  const cancelled = '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"c","reason":"x"}}';
  bridge.send(INITIALIZE, INITIALIZED);
  await bridge.answer(0);
  bridge.send(legacy('"c"', "tools/call", '{"name":"slow"}'), cancelled);
  await vi.waitFor(() => expect(endpoint.calls("notifications/cancelled").map((entry) => entry.body)).toEqual([cancelled]));
  finish();
  bridge.send(legacy(9, "ping"));
  await bridge.answer(9);
  expect(bridge.lines).toHaveLength(2);
});

test("relays a server's request on the stream and the client's response to it", async () => {
  const ask = '{"jsonrpc":"2.0","id":"srv-1","method":"sampling/createMessage","params":{"n":1.0}}';
  const reply = '{"jsonrpc":"2.0","id":"srv-1","result":{"n":2.0}}';
  let finish = (): void => {};
  const behaviour = legacyReply((received, response) => {
    if (received.message["method"] === undefined) {
      response.writeHead(202).end();
      return finish();
    }
    openStream(response)(ask);
    finish = () => response.end(`data: ${resultFor(received)}\n\n`);
  });
  const endpoint = await bench.endpoint(behaviour);
  const bridge = bench.start(endpoint);
  bridge.send(INITIALIZE, INITIALIZED, legacy(1, "tools/call", '{"name":"asks"}'));
  await vi.waitFor(() => expect(bridge.lines).toContain(ask));
  bridge.send(reply);
  await bridge.answer(1);
  expect(endpoint.received.find((entry) => entry.body === reply)?.headers["mcp-session-id"]).toBe("session-1");
});

test("a batch is carried element by element", async () => {
  const endpoint = await bench.endpoint(legacyReply((received, response) => json(response, resultFor(received))));
  const bridge = bench.start(endpoint);
  bridge.send(INITIALIZE, INITIALIZED, `[${legacy(1, "ping", '{"n":1.0}')}, ${legacy('"2"', "tools/list")},7]`);
  await bridge.answer(1);
  await bridge.answer("2");
  expect((await bridge.answer(null as never))["error"]).toMatchObject({ code: -32600 });
  expect(endpoint.calls("ping")[0]?.body).toBe(legacy(1, "ping", '{"n":1.0}'));
});

test("a request before initialize gets the gateway's refusal under its own id", async () => {
  const endpoint = await bench.endpoint(legacyReply((received, response) => json(response, resultFor(received))));
  const bridge = bench.start(endpoint);
  bridge.send(legacy('"early"', "tools/list"));
  expect(await bridge.answer("early")).toEqual({ jsonrpc: "2.0", id: "early", error: { code: -32600, message: "no session" } });
});
