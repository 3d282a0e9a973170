import type { ServerResponse } from "node:http";
import { expect, test, vi } from "vitest";
import { type Bridge, INITIALIZE, INITIALIZED, legacy, useBridge } from "./bridge.ts";
import { type Endpoint, event, json, legacyReply, openStream, type Reply, resultFor } from "./endpoint.ts";

const bench = useBridge();
const CHANGED = '{"jsonrpc":"2.0","method":"notifications/tools/list_changed","x":1.0}';
const ASK = '{"jsonrpc":"2.0","id":"srv-1","method":"elicitation/create","params":{"n":1.0}}';

const answer: Reply = (received, response) => json(response, resultFor(received));

async function openSession(endpoint: Endpoint): Promise<Bridge> {
  const bridge = bench.start(endpoint);
  bridge.send(INITIALIZE, INITIALIZED);
  await bridge.answer(0);
  return bridge;
}

test("what the server says by itself reaches the client, and its answers go back", async () => {
  const endpoint = await bench.endpoint(
    legacyReply(answer, {
      standing: (_received, response) => {
        const send = openStream(response);
        send(ASK);
        send(CHANGED);
      },
    }),
  );
  const bridge = await openSession(endpoint);
  await vi.waitFor(() => expect(bridge.lines.slice(1)).toEqual([ASK, CHANGED]));
  const reply = '{"jsonrpc":"2.0","id":"srv-1","result":{"n":2.0}}';
  bridge.send(reply);
  await vi.waitFor(() => expect(endpoint.received.at(-1)?.body).toBe(reply));
  const [get] = endpoint.gets();
  expect(get?.headers).toMatchObject({
    accept: "text/event-stream",
    "mcp-session-id": "session-1",
    "mcp-protocol-version": "2025-11-25",
  });
  expect(get?.headers["last-event-id"]).toBeUndefined();
  expect(get?.headers["content-type"]).toBeUndefined();
});

test("a server without such a stream is asked once, and nobody hears of it", async () => {
  for (const status of [405, 404, 400, 200]) {
    const endpoint = await bench.endpoint(
      legacyReply(answer, { standing: (_received, response) => void response.writeHead(status).end() }),
    );
    const bridge = await openSession(endpoint);
    await vi.waitFor(() => expect(endpoint.gets()).toHaveLength(1));
    bridge.send(legacy(1, "ping"));
    expect((await bridge.answer(1))["result"]).toEqual({});
    await new Promise((resolve) => setTimeout(resolve, 400)); // Longer than the first wait before another attempt.
    expect(endpoint.gets()).toHaveLength(1);
    expect(endpoint.calls("initialize")).toHaveLength(1);
    expect(bridge.stderr()).toBe("");
  }
});

test("a lost stream is asked for again behind its last event, when the server wants it", async () => {
  const parts = [
    (response: ServerResponse) => response.end(event({ id: "a-1", retry: 300, data: CHANGED })),
    (response: ServerResponse) => response.end(event({ id: "ä-2", data: "" })),
    (response: ServerResponse) => response.write(event({ data: ASK })),
  ];
  const times: number[] = [];
  const endpoint = await bench.endpoint(
    legacyReply(answer, {
      standing: (_received, response) => {
        times.push(Date.now());
        openStream(response);
        parts[times.length - 1]?.(response);
      },
    }),
  );
  const bridge = await openSession(endpoint);
  await vi.waitFor(() => expect(bridge.lines.slice(1)).toEqual([CHANGED, ASK]), { timeout: 5_000 });
  expect(endpoint.gets().map(({ headers }) => headers["last-event-id"])).toEqual([
    undefined,
    "a-1",
    Buffer.from("ä-2").toString("latin1"),
  ]);
  for (const [index, time] of times.slice(1).entries()) expect(time - (times[index] ?? 0)).toBeGreaterThanOrEqual(295);
});

test("a broken connection and a gateway that restarts are only waited for", async () => {
  const replies: Reply[] = [
    (_received, response) => {
      openStream(response);
      setTimeout(() => response.destroy(), 20);
    },
    (_received, response) => void response.writeHead(503).end(),
    (_received, response) => openStream(response)(CHANGED),
  ];
  const endpoint = await bench.endpoint(
    legacyReply(answer, { standing: (received, response) => replies.shift()?.(received, response) }),
  );
  const bridge = await openSession(endpoint);
  await vi.waitFor(() => expect(bridge.lines).toContain(CHANGED), { timeout: 5_000 });
  expect(endpoint.gets()).toHaveLength(3);
});

test("an idle client's session is opened again with all that it had asked for", async () => {
  const streams: ServerResponse[] = [];
  const behaviour = legacyReply(answer, {
    standing: (_received, response) => {
      openStream(response);
      streams.push(response);
    },
  });
  const endpoint = await bench.endpoint(behaviour);
  const bridge = await openSession(endpoint);
  const subscribe = (id: number, uri: string) => legacy(id, "resources/subscribe", `{"uri":"${uri}"}`);
  const level = (id: number, name: string) => legacy(id, "logging/setLevel", `{"level":"${name}"}`);
  bridge.send(level(1, "error"));
  await bridge.answer(1);
  bridge.send(level(2, "debug"), subscribe(3, "test://a"), subscribe(4, "test://b"));
  for (const id of [2, 3, 4]) await bridge.answer(id);
  bridge.send(legacy(5, "resources/unsubscribe", '{"uri":"test://a"}'));
  await bridge.answer(5);
  await vi.waitFor(() => expect(streams).toHaveLength(1));

  behaviour.sessions.clear();
  streams[0]?.destroy();
  await vi.waitFor(() => expect(streams).toHaveLength(2), { timeout: 5_000 });
  streams[1]?.write(event({ data: CHANGED }));
  await vi.waitFor(() => expect(bridge.lines).toContain(CHANGED));
  await vi.waitFor(() => {
    const bodies = endpoint.received
      .filter(({ verb, headers }) => verb === "POST" && headers["mcp-session-id"] === "session-2")
      .map(({ body }) => body);
    expect(bodies).toEqual([INITIALIZED, level(2, "debug"), subscribe(4, "test://b")]);
  });
  expect(endpoint.calls("initialize").map(({ body }) => body)).toEqual([INITIALIZE, INITIALIZE]);
  expect(bridge.lines).toHaveLength(7); // Six answers and the change: nothing of the renewal.
});

test("late progress of an answered request is held back on the standing stream too, a task's is not", async () => {
  let stream: ServerResponse | undefined;
  const endpoint = await bench.endpoint(
    legacyReply(
      (received, response) =>
        json(response, resultFor(received, received.message["params"].task ? '{"task":{"taskId":"t"}}' : "{}")),
      { standing: (_received, response) => void openStream((stream = response)) },
    ),
  );
  const bridge = await openSession(endpoint);
  bridge.send(legacy(1, "tools/call", '{"name":"a","_meta":{"progressToken":1}}'));
  bridge.send(legacy(2, "tools/call", '{"name":"a","task":{},"_meta":{"progressToken":"1"}}'));
  await bridge.answer(1);
  await bridge.answer(2);
  await vi.waitFor(() => expect(stream).toBeDefined());
  const progress = (token: string) =>
    `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${token},"progress":1.0}}`;
  for (const data of [progress("1"), progress('"1"'), progress("2")]) stream?.write(event({ data }));
  await vi.waitFor(() => expect(bridge.lines.slice(3)).toEqual([progress('"1"'), progress("2")]));
});
