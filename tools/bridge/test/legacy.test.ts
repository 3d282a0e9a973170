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
  const endpoint = await bench.endpoint(async (received, response) => {
    // Slow enough for all requests to meet the expired session, and to overtake the opening if they could.
    if (/initialize/.test(received.body)) await new Promise((resolve) => setTimeout(resolve, 50));
    await behaviour(received, response);
  });
  const bridge = bench.start(endpoint);
  bridge.send(INITIALIZE, INITIALIZED, legacy(1, "tools/list"));
  await bridge.answer(1);
  behaviour.sessions.clear();
  bridge.send(...[2, 3, 4, 5].map((id) => legacy(id, "tools/call", '{"name":"x"}')));
  await vi.waitFor(() => expect(endpoint.calls("initialize")).toHaveLength(2));
  bridge.send(legacy(6, "ping"));
  for (const id of [2, 3, 4, 5, 6]) expect((await bridge.answer(id))["result"]).toEqual({});
  expect(endpoint.calls("initialize").map((entry) => entry.body)).toEqual([INITIALIZE, INITIALIZE]);
  const renewed = endpoint.received.filter(
    ({ verb, headers }) => verb === "POST" && headers["mcp-session-id"] === "session-2",
  );
  expect(renewed[0]?.message["method"]).toBe("notifications/initialized");
  expect(renewed).toHaveLength(6);
  // What came during the renewal waited for it, instead of meeting the expired session too.
  expect(endpoint.calls("ping").map((entry) => entry.headers["mcp-session-id"])).toEqual(["session-2"]);
  expect(endpoint.calls("notifications/initialized")).toHaveLength(2);
  expect(bridge.lines).toHaveLength(7);
});

test("says so when no new session can be had, once per request", async () => {
  const behaviour = legacyReply((received, response) => json(response, resultFor(received)));
  let closed = false;
  const endpoint = await bench.endpoint((received, response) => {
    if (closed && received.message["method"] === "initialize")
      return json(response, '{"detail":"no more sessions"}', 403);
    return behaviour(received, response);
  });
  const bridge = bench.start(endpoint);
  bridge.send(INITIALIZE, INITIALIZED, legacy(1, "tools/list"));
  await bridge.answer(1);
  behaviour.sessions.clear();
  closed = true;
  bridge.send(legacy(2, "tools/list"));
  expect((await bridge.answer(2))["error"]).toMatchObject({
    code: -32003,
    message: "the gateway forbids this (403): no more sessions",
  });
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
  // Once a request behind them is answered, the opening is over and the next one is sent at once.
  bridge.send(INITIALIZE, INITIALIZED, legacy(8, "ping"));
  await bridge.answer(8);
  bridge.send(legacy('"c"', "tools/call", '{"name":"slow"}'), cancelled);
  await vi.waitFor(() =>
    expect(endpoint.calls("notifications/cancelled").map((entry) => entry.body)).toEqual([cancelled]),
  );
  finish();
  bridge.send(legacy(9, "ping"));
  await bridge.answer(9);
  expect(bridge.lines).toHaveLength(3);
});

test("a request that is cancelled before it was sent is not sent, and neither is the cancellation", async () => {
  let accept = (): void => {};
  const behaviour = legacyReply((received, response) => json(response, resultFor(received)));
  const endpoint = await bench.endpoint((received, response) => {
    if (received.message["method"] !== "notifications/initialized") return behaviour(received, response);
    accept = () => void behaviour(received, response);
  });
  const bridge = bench.start(endpoint);
  bridge.send(INITIALIZE, INITIALIZED, legacy(1, "tools/call", '{"name":"x"}'), legacy(2, "ping"));
  bridge.send('{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}');
  await vi.waitFor(() => expect(endpoint.calls("notifications/initialized")).toHaveLength(1));
  // The bridge has read its input to the end when it has answered this line.
  bridge.send("no message");
  await bridge.answer(null);
  accept();
  await bridge.answer(2);
  const posted = endpoint.received.filter(({ verb }) => verb === "POST");
  expect(posted.map((entry) => entry.message["method"])).toEqual(["initialize", "notifications/initialized", "ping"]);
  expect(bridge.lines).toHaveLength(3);
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
  expect((await bridge.answer(null))["error"]).toMatchObject({ code: -32600 });
  expect(endpoint.calls("ping")[0]?.body).toBe(legacy(1, "ping", '{"n":1.0}'));
});

test("a request before initialize gets the gateway's refusal under its own id", async () => {
  const endpoint = await bench.endpoint(legacyReply((received, response) => json(response, resultFor(received))));
  const bridge = bench.start(endpoint);
  bridge.send(legacy('"early"', "tools/list"));
  expect(await bridge.answer("early")).toEqual({
    jsonrpc: "2.0",
    id: "early",
    error: { code: -32600, message: "no session" },
  });
});
