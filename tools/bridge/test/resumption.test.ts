import { expect, test, vi } from "vitest";
import { type Bridge, INITIALIZE, INITIALIZED, legacy, modern, useBridge } from "./bridge.ts";
import {
  type Endpoint,
  event,
  json,
  legacyReply,
  openStream,
  type Received,
  type Reply,
  resultFor,
} from "./endpoint.ts";

const bench = useBridge();
const PROGRESS = '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":0.50}}';

async function openSession(endpoint: Endpoint): Promise<Bridge> {
  const bridge = bench.start(endpoint);
  bridge.send(INITIALIZE, INITIALIZED);
  await vi.waitFor(() => expect(endpoint.gets()).toHaveLength(1)); // The standing stream, which is refused.
  return bridge;
}

/** An endpoint whose tool calls break off behind event "1", and that gives the rest as `resume` says. */
async function breaking(resume: Reply): Promise<{ endpoint: Endpoint; call: () => Received | undefined }> {
  const endpoint: Endpoint = await bench.endpoint(
    legacyReply(
      (_received, response) => {
        openStream(response);
        response.write(event({ id: "1", retry: 200, data: PROGRESS }), () => setTimeout(() => response.destroy(), 20));
      },
      {
        standing: (received, response) =>
          received.headers["last-event-id"] === undefined
            ? void response.writeHead(405).end()
            : resume(received, response),
      },
    ),
  );
  return { endpoint, call: () => endpoint.calls("tools/call")[0] };
}

test("an answer whose stream breaks is fetched behind its last event, and the call is not sent again", async () => {
  const { endpoint, call } = await breaking((_received, response) => {
    openStream(response);
    response.end(event({ id: "2", data: resultFor(call()!, '{"n":1.0}') }));
  });
  const bridge = await openSession(endpoint);
  bridge.send(legacy(1, "tools/call", '{"name":"a"}'));
  expect((await bridge.answer(1))["result"]).toEqual({ n: 1 });
  expect(bridge.lines.slice(1)).toEqual([PROGRESS, '{"jsonrpc":"2.0","id":1,"result":{"n":1.0}}']);
  expect(endpoint.calls("tools/call")).toHaveLength(1);
  expect(endpoint.gets()[1]?.headers).toMatchObject({ "last-event-id": "1", "mcp-session-id": "session-1" });
});

test("a server may give the answer in pieces, and be busy in between", async () => {
  let times = 0;
  const { endpoint, call } = await breaking((_received, response) => {
    times++;
    if (times === 1) return void response.writeHead(503).end();
    if (times === 2) return void response.destroy();
    openStream(response);
    if (times === 3) return void response.end(event({ id: "2", data: "" }));
    response.end(event({ data: resultFor(call()!) }));
  });
  const bridge = await openSession(endpoint);
  bridge.send(legacy(1, "tools/call", '{"name":"a"}'));
  expect((await bridge.answer(1))["result"]).toEqual({});
  expect(endpoint.gets().map(({ headers }) => headers["last-event-id"])).toEqual([undefined, "1", "1", "1", "2"]);
});

test("an answer that cannot be fetched is said to be lost", async () => {
  const { endpoint } = await breaking((_received, response) => void response.writeHead(405).end());
  const bridge = await openSession(endpoint);
  bridge.send(legacy(1, "tools/call", '{"name":"a"}'));
  const { error } = await bridge.answer(1);
  expect(error).toMatchObject({ code: -32009, data: { code: "outcome_unknown" } });
  expect(error.message).toContain("HTTP 405");
  expect(endpoint.calls("tools/call")).toHaveLength(1);
});

test("a cancelled call is not fetched any more", async () => {
  const { endpoint } = await breaking((_received, response) => void openStream(response));
  const bridge = await openSession(endpoint);
  bridge.send(legacy(1, "tools/call", '{"name":"a"}'));
  await vi.waitFor(() => expect(endpoint.gets()).toHaveLength(2));
  bridge.send('{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}');
  await vi.waitFor(() => expect(endpoint.calls("notifications/cancelled")).toHaveLength(1));
  await vi.waitFor(() => expect(endpoint.gets()[1]?.abandoned).toBe(true), { timeout: 3_000 });
  expect(bridge.lines).toHaveLength(2);
});

test("a modern stream cannot be taken up again, whatever its events are called", async () => {
  const endpoint = await bench.endpoint((_received, response) => {
    openStream(response);
    response.end(event({ id: "1", data: PROGRESS }));
  });
  const bridge = bench.start(endpoint);
  bridge.send(modern(1, "tools/call", '"name":"a"'));
  expect((await bridge.answer(1))["error"].code).toBe(-32009);
  expect(endpoint.gets()).toEqual([]);
});

test("nothing is fetched for a stream without ids", async () => {
  const endpoint = await bench.endpoint(
    legacyReply((received, response) => {
      if (received.message["method"] === "ping") return json(response, resultFor(received));
      openStream(response);
      response.end(event({ data: PROGRESS }));
    }),
  );
  const bridge = await openSession(endpoint);
  bridge.send(legacy(1, "tools/call", '{"name":"a"}'));
  expect((await bridge.answer(1))["error"].code).toBe(-32009);
  expect(endpoint.gets()).toHaveLength(1);
});
