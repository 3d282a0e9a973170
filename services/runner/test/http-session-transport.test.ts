import { eventually } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import type { RemoteOptions } from "../src/upstream/transport.ts";
import {
  answerJson,
  type Asked,
  beginStream,
  connectRemote,
  event,
  modern,
  notificationOf,
  type RemoteServer,
  remoteServer,
  requestOf,
  responseOf,
  result,
} from "./remote-server.ts";

const SESSION = "session-of-the-server";

const connect = (url: string, options: Partial<RemoteOptions> = {}) =>
  connectRemote(url, { transport: "http", ...options });
const initialize = () => ({ ...requestOf(1, "initialize"), protocol: "" });

/** A server with sessions that answers `initialize` itself and leaves the rest to the test. */
function sessionServer(handler: Parameters<typeof remoteServer>[0]): Promise<RemoteServer> {
  return remoteServer((asked, response, request) => {
    if (asked.message?.method === "initialize") {
      return answerJson(response, result(asked.message.id), 200, { "mcp-session-id": SESSION });
    }
    return handler(asked, response, request);
  });
}

async function connectWithSession(server: RemoteServer, options: Partial<RemoteOptions> = {}) {
  const connected = connect(server.url, options);
  connected.transport.send(initialize());
  await eventually(() => expect(connected.heard.messages).toHaveLength(1));
  connected.heard.messages.length = 0;
  connected.heard.order.length = 0;
  return connected;
}

const posts = (asked: readonly Asked[]) => asked.filter(({ method }) => method === "POST");

describe("a session", () => {
  test("goes with everything that follows, and is ended at the end", async () => {
    const server = await sessionServer(({ message }, response) => answerJson(response, result(message?.id)));
    const { transport, heard } = await connectWithSession(server);
    transport.send(requestOf(2));
    await eventually(() => expect(heard.messages).toHaveLength(1));
    transport.listen();
    await eventually(() => expect(server.asked.some(({ method }) => method === "GET")).toBe(true));
    await transport.end();
    expect(server.asked.map(({ method, headers }) => [method, headers["mcp-session-id"]])).toEqual([
      ["POST", undefined],
      ["POST", SESSION],
      ["GET", SESSION],
      ["DELETE", SESSION],
    ]);
    expect(heard.ends).toEqual(["was closed"]);
  });

  test("a server that does not answer the end is not waited for", async () => {
    const server = await sessionServer(() => undefined);
    const { transport } = await connectWithSession(server);
    const begun = Date.now();
    await transport.end();
    expect(Date.now() - begun).toBeLessThan(3_000);
    await eventually(() => expect(server.sockets.size).toBe(0));
  });

  test("that has expired: what was refused may be sent again, what is under way ends first, then the connection ends", async () => {
    let finish = () => {};
    const server = await sessionServer(({ message }, response) => {
      if (message?.id === 2) finish = () => answerJson(response, result(2));
      else
        answerJson(response, '{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}', 404);
    });
    const { transport, heard } = await connectWithSession(server);
    for (const id of [2, 3, 4]) transport.send(requestOf(id));
    await eventually(() => expect(posts(server.asked)).toHaveLength(4));
    transport.send(requestOf(5));
    finish();
    await eventually(() => expect(heard.ends).toEqual(["does not know the session any more"]));
    expect(heard.order).toEqual(["message", "lost", "lost", "lost", "end"]);
    expect(heard.losts.map(({ id, notDelivered, status }) => [id, notDelivered, status])).toEqual([
      [3, true, 404],
      [4, true, 404],
      [5, true, 404],
    ]);
    await transport.end();
    expect(heard.ends).toHaveLength(1);
    expect(server.asked.some(({ method }) => method === "DELETE")).toBe(false);
  });

  test("that has expired while an answer takes long is waited for, but not for ever", async () => {
    const server = await sessionServer(({ message }, response) => {
      if (message?.id === 3) answerJson(response, "gone", 404);
    });
    const { transport, heard } = await connectWithSession(server);
    transport.send(requestOf(2));
    transport.send(requestOf(3));
    await eventually(() => expect(heard.order).toEqual(["lost", "end"]), { timeoutMs: 5_000 });
    expect(heard.losts).toMatchObject([{ id: 3, notDelivered: true }]);
  });

  test.each(["No valid session ID provided", "Server not initialized"])(
    "that is unknown after the server was started anew is told by the text of a 400: %s",
    async (message) => {
      const body = JSON.stringify({
        jsonrpc: "2.0",
        id: null,
        error: { code: -32_000, message: `Bad Request: ${message}` },
      });
      const server = await sessionServer((_asked, response) => answerJson(response, body, 400));
      const { transport, heard } = await connectWithSession(server);
      transport.send(requestOf(2));
      await eventually(() => expect(heard.ends).toHaveLength(1));
      expect(heard.losts).toMatchObject([{ id: 2, notDelivered: true, status: 404 }]);
    },
  );

  test("is not taken for expired when the server does not know a method", async () => {
    const server = await sessionServer(({ message }, response) =>
      answerJson(
        response,
        `{"jsonrpc":"2.0","id":${message?.id},"error":{"code":-32601,"message":"no such method"}}`,
        404,
      ),
    );
    const { transport, heard } = await connectWithSession(server);
    transport.send(requestOf(2, "tasks/list"));
    await eventually(() => expect(heard.messages[0]?.message.error.code).toBe(-32601));
    expect(heard.ends).toEqual([]);
  });
});

describe("order", () => {
  test("nothing overtakes `initialized`", async () => {
    let take = () => {};
    const server = await sessionServer(({ message }, response) => {
      if (message?.method === "notifications/initialized") take = () => response.writeHead(202).end();
      else answerJson(response, result(message?.id), message === undefined ? 405 : 200);
    });
    const { transport, heard } = await connectWithSession(server);
    transport.send(notificationOf("notifications/initialized"));
    transport.send(requestOf(2));
    transport.send(requestOf(3));
    transport.abort(3);
    transport.listen();
    await eventually(() => expect(server.asked).toHaveLength(2));
    take();
    await eventually(() => expect(heard.messages).toHaveLength(1));
    await eventually(() => expect(server.asked).toHaveLength(4));
    expect(server.asked.map(({ method, message }) => message?.method ?? method)).toEqual([
      "initialize",
      "notifications/initialized",
      "GET",
      "tools/call",
    ]);
  });

  test("nothing overtakes the stream of what the server says unasked, unless the server is slow to open it", async () => {
    let open = () => {};
    const server = await sessionServer(({ method, message }, response) => {
      if (method === "GET")
        open = () => response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      else if (message?.id === undefined) response.writeHead(202).end();
      else answerJson(response, result(message.id));
    });
    const asked = () => server.asked.map(({ method, message }) => message?.method ?? method);
    for (const opens of [true, false]) {
      server.asked.length = 0;
      const { transport, heard } = await connectWithSession(server);
      transport.send(notificationOf("notifications/initialized"));
      transport.listen();
      transport.send(requestOf(2));
      await eventually(() => expect(asked()).toEqual(["initialize", "notifications/initialized", "GET"]));
      if (opens) open();
      await eventually(() => expect(heard.messages).toHaveLength(1));
    }
  });

  test("our answers do not wait behind requests that use all connections", async () => {
    const waiting: (() => void)[] = [];
    const server = await remoteServer(({ message }, response) => {
      if (message.method === undefined) {
        response.writeHead(202).end();
        for (const go of waiting) go();
      } else waiting.push(() => answerJson(response, result(message.id)));
    });
    const { transport, heard } = connect(server.url);
    for (let id = 1; id <= 300; id++) transport.send(requestOf(id));
    await eventually(() => expect(waiting.length).toBe(256));
    transport.send(responseOf("q", {}));
    await eventually(() => expect(heard.messages.length).toBeGreaterThanOrEqual(256));
    expect(server.sockets.size).toBeLessThanOrEqual(257);
  });
});

describe("cancelling", () => {
  test("modern: the response is closed, and nothing is sent or heard any more", async () => {
    let closed = 0;
    const server = await remoteServer((_asked, response) => {
      beginStream(response).write(event('{"jsonrpc":"2.0","method":"notifications/progress"}'));
      response.once("close", () => (closed += 1));
    });
    const { transport, heard } = connect(server.url);
    transport.send(modern(requestOf(1)));
    await eventually(() => expect(heard.messages).toHaveLength(1));
    transport.send(modern(notificationOf("notifications/cancelled", { requestId: 1 })));
    await eventually(() => expect(closed).toBe(1));
    expect(server.asked).toHaveLength(1);
    expect(heard.order).toEqual(["message"]);
  });

  test("legacy: the notification is sent, and `abort` frees the connection", async () => {
    let closed = 0;
    const server = await remoteServer(({ message }, response) => {
      if (message.id === undefined) response.writeHead(202).end();
      else response.once("close", () => (closed += 1));
    });
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1));
    await eventually(() => expect(server.asked).toHaveLength(1));
    transport.send(notificationOf("notifications/cancelled", { requestId: 1 }));
    transport.abort(1);
    await eventually(() => expect([server.asked.length, closed]).toEqual([2, 1]));
    expect(heard.order).toEqual([]);
  });

  test("one that has not left yet never leaves", async () => {
    const server = await remoteServer(() => undefined);
    const { transport } = connect(server.url);
    transport.send(requestOf(1));
    transport.abort(1);
    transport.send(requestOf(2));
    await eventually(() => expect(server.asked.map(({ message }) => message.id)).toEqual([2]));
  });
});

describe("a stream that breaks before the answer", () => {
  test("is taken up again where it was, as often as something comes, after the time that the server says", async () => {
    const times: number[] = [];
    const server = await sessionServer((asked, response) => {
      times.push(Date.now());
      if (asked.method === "DELETE") return void response.end();
      const last = Number(asked.headers["last-event-id"] ?? 0);
      if (asked.method === "GET" && last === 8)
        return void response.writeHead(200, { "content-type": "text/event-stream" }).end(event(result(2)));
      beginStream(response).end(event("", { id: String(last + 1), retry: 60 }));
    });
    const { transport, heard } = await connectWithSession(server);
    transport.send(requestOf(2));
    await eventually(() => expect(heard.messages).toMatchObject([{ during: 2, message: { id: 2 } }]));
    expect(posts(server.asked)).toHaveLength(2);
    const gets = server.asked.filter(({ method }) => method === "GET");
    expect(gets.map(({ headers }) => headers["last-event-id"])).toEqual(["1", "2", "3", "4", "5", "6", "7", "8"]);
    for (const { headers } of gets)
      expect(headers).toMatchObject({ "mcp-session-id": SESSION, "mcp-protocol-version": "2025-11-25" });
    for (let i = 1; i < times.length; i++) expect(times[i]! - times[i - 1]!).toBeGreaterThanOrEqual(55);
  });

  test("is given up when nothing comes", async () => {
    const server = await remoteServer((asked, response) => {
      if (asked.method === "POST") beginStream(response).end(event("", { id: "1", retry: 1 }));
      else response.destroy();
    });
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1));
    await eventually(() => expect(heard.losts).toHaveLength(1));
    expect(heard.losts[0]).toMatchObject({
      id: 1,
      notDelivered: false,
      reason: expect.stringContaining("does not continue"),
    });
    expect(server.asked.length).toBe(6);
    expect(posts(server.asked)).toHaveLength(1);
  });

  test("and that the server does not offer again is lost at once", async () => {
    const server = await remoteServer((asked, response) => {
      if (asked.method === "POST") beginStream(response).end(event("", { id: "1", retry: 1 }));
      else response.writeHead(405).end();
    });
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1));
    await eventually(() => expect(heard.losts).toMatchObject([{ reason: expect.stringContaining("HTTP 405") }]));
    expect(server.asked).toHaveLength(2);
  });

  test("is lost at once in the modern era, which has no such thing", async () => {
    const server = await remoteServer((_asked, response) =>
      beginStream(response).end(event("", { id: "1", retry: 1 })),
    );
    const { transport, heard } = connect(server.url);
    transport.send(modern(requestOf(1)));
    await eventually(() => expect(heard.losts).toHaveLength(1));
    expect(server.asked).toHaveLength(1);
  });

  test("is not taken up for a request that was aborted", async () => {
    const server = await remoteServer((asked, response) => {
      if (asked.message?.id === 2) answerJson(response, result(2));
      else if (asked.method === "POST")
        beginStream(response).end(event('{"jsonrpc":"2.0","method":"x"}', { id: "1", retry: 50 }));
    });
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1));
    await eventually(() => expect(heard.messages).toHaveLength(1));
    transport.abort(1);
    await transport.end();
    expect(server.asked.every(({ method }) => method === "POST")).toBe(true);
  });
});

describe("what the server says unasked", () => {
  const changed = '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}';

  test("is heard, also after the stream has broken", async () => {
    let streams = 0;
    const server = await sessionServer(({ method, headers }, response) => {
      if (method !== "GET") return answerJson(response, "", 202);
      streams += 1;
      if (streams === 2) return answerJson(response, "", 503);
      const id = String(Number(headers["last-event-id"] ?? 0) + 1);
      beginStream(response).write(event(changed, { id, retry: 20 }));
      if (streams === 1) setImmediate(() => response.destroy());
      return undefined;
    });
    const { transport, heard } = await connectWithSession(server);
    transport.listen();
    transport.listen();
    await eventually(() =>
      expect(heard.messages.map(({ text, during }) => [text, during])).toEqual([
        [changed, undefined],
        [changed, undefined],
      ]),
    );
    const gets = server.asked.filter(({ method }) => method === "GET");
    expect(gets.map(({ headers }) => headers["last-event-id"])).toEqual([undefined, "1", "1"]);
    for (const { headers } of gets)
      expect(headers).toMatchObject({ "mcp-session-id": SESSION, accept: "text/event-stream" });
  });

  test("is nothing where the server answers 405: it is not asked again", async () => {
    const server = await sessionServer(({ message, method }, response) =>
      answerJson(response, method === "GET" ? "" : result(message?.id), method === "GET" ? 405 : 200),
    );
    const { transport, heard } = await connectWithSession(server);
    transport.listen();
    await eventually(() => expect(server.asked).toHaveLength(2));
    transport.send(requestOf(2));
    await eventually(() => expect(heard.messages).toHaveLength(1));
    transport.listen();
    await transport.end();
    expect(server.asked.filter(({ method }) => method === "GET")).toHaveLength(1);
    expect(heard.order).toEqual(["message", "end"]);
  });

  test("a session that is gone shows there too", async () => {
    const server = await sessionServer((_asked, response) => answerJson(response, "", 404));
    const { transport, heard } = await connectWithSession(server);
    transport.listen();
    await eventually(() => expect(heard.order).toEqual(["end"]));
  });
});

test("a connection that was idle is not used when the server may be closing it", async () => {
  const server = await remoteServer(({ message }, response) => answerJson(response, result(message.id)));
  const { transport, heard } = connect(server.url);
  transport.send(requestOf(1));
  await eventually(() => expect(heard.messages).toHaveLength(1));
  expect(server.sockets.size).toBe(1);
  await eventually(() => expect(server.sockets.size).toBe(0), { timeoutMs: 6_000 });
  transport.send(requestOf(2));
  await eventually(() => expect(heard.messages).toHaveLength(2));
});

test("after the end nothing is sent, and nothing stays open", async () => {
  const server = await remoteServer((_asked, response) => beginStream(response));
  const { transport, heard } = connect(server.url);
  transport.send(requestOf(1));
  await eventually(() => expect(server.asked).toHaveLength(1));
  await Promise.all([transport.end(), transport.end()]);
  transport.send(requestOf(2));
  transport.listen();
  await eventually(() => expect(server.sockets.size).toBe(0));
  expect(heard.order).toEqual(["end"]);
  expect(server.asked).toHaveLength(1);
});
