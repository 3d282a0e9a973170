import { eventually } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import type { RemoteOptions } from "../src/upstream/transport.ts";
import {
  answerJson,
  type Asked,
  beginStream,
  connectRemote,
  event,
  MESSAGE_MAX_BYTES,
  modern,
  notificationOf,
  type RemoteServer,
  remoteServer,
  requestOf,
  result,
} from "./remote-server.ts";

type Response = Parameters<typeof answerJson>[0];

const connect = (url: string, options: Partial<RemoteOptions> = {}) =>
  connectRemote(url, { transport: "sse", headers: { authorization: "Bearer secret-token" }, ...options });

interface SseServer extends RemoteServer {
  /** The stream that is open. */
  stream(): Response;
}

/** A server of HTTP+SSE; what is posted goes to the test, which has to answer the POST. */
async function sseServer(
  onPost: (asked: Asked, response: Response, stream: Response) => void,
  endpoint = "/messages?session=1",
): Promise<SseServer> {
  let stream: Response | undefined;
  const server = await remoteServer((asked, response) => {
    if (asked.method === "GET") {
      stream = beginStream(response);
      stream.write(event(endpoint, { event: "endpoint" }));
    } else if (asked.path.startsWith("/messages")) onPost(asked, response, stream!);
    else response.writeHead(405).end("Method Not Allowed");
  }, "/sse");
  return { ...server, stream: () => stream! };
}

const accepting = () =>
  sseServer(({ message }, response, stream) => {
    response.writeHead(202).end("Accepted");
    if (message.id !== undefined) stream.write(event(result(message.id), { event: "message" }));
  });

describe("HTTP+SSE", () => {
  test("messages are posted to where the server says, with the configured headers; answers come on the stream", async () => {
    const server = await accepting();
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1, "initialize"));
    transport.send(requestOf(2));
    await eventually(() =>
      expect(heard.messages.map(({ message, during }) => [message.id, during]).toSorted(([a], [b]) => a - b)).toEqual([
        [1, undefined],
        [2, undefined],
      ]),
    );
    expect(server.asked.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "GET /sse",
      "POST /messages?session=1",
      "POST /messages?session=1",
    ]);
    for (const { headers } of server.asked) expect(headers.authorization).toBe("Bearer secret-token");
  });

  test("nothing overtakes `initialized`", async () => {
    let take = () => {};
    const server = await sseServer(({ message }, response) => {
      if (message.method === "notifications/initialized") take = () => response.writeHead(202).end();
      else response.writeHead(202).end();
    });
    const { transport } = connect(server.url);
    transport.send(notificationOf("notifications/initialized"));
    transport.send(requestOf(2));
    await eventually(() => expect(server.asked).toHaveLength(2));
    transport.send(requestOf(3));
    transport.abort(2);
    take();
    await eventually(() => expect(server.asked.at(-1)?.message.id).toBe(3));
    expect(server.asked).toHaveLength(3);
  });

  test("the end of the stream is the end of the connection", async () => {
    const server = await sseServer((_asked, response) => response.writeHead(202).end());
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1));
    await eventually(() => expect(server.asked).toHaveLength(2));
    server.stream().destroy();
    await eventually(() => expect(heard.order).toEqual(["end"]));
    transport.send(requestOf(2));
    expect(server.asked).toHaveLength(2);
  });

  test("a refused POST loses its request only", async () => {
    const server = await sseServer(({ message }, response, stream) => {
      if (message.id === 1) return void response.writeHead(500).end();
      response.writeHead(202).end();
      stream.write(event(result(message.id)));
    });
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1));
    transport.send(requestOf(2));
    await eventually(() => expect(heard.order).toHaveLength(2));
    expect(heard.losts).toMatchObject([{ id: 1, status: 500, notDelivered: false }]);
    expect(heard.messages).toMatchObject([{ message: { id: 2 } }]);
  });

  test("a POST that is not known any more ends the connection; the request may be sent again", async () => {
    const server = await sseServer((_asked, response) => response.writeHead(404).end("Could not find session"));
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1));
    await eventually(() => expect(heard.order).toEqual(["lost", "end"]));
    expect(heard.losts).toMatchObject([
      { id: 1, status: 404, notDelivered: true, reason: "does not know the session any more" },
    ]);
  });

  test("another origin gets nothing", async () => {
    const other = await remoteServer((_asked, response) => response.end());
    const server = await sseServer(() => undefined, other.url);
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1));
    await eventually(() => expect(heard.order).toEqual(["lost", "end"]));
    expect(heard.losts).toMatchObject([{ notDelivered: true, reason: expect.stringContaining("another origin") }]);
    expect(other.asked).toEqual([]);
  });

  const beginnings: Record<string, [(response: Response) => void, RegExp]> = {
    "another event first": [(r) => void beginStream(r).write(event("{}")), /did not begin/],
    "no stream": [(r) => answerJson(r, "{}"), /no event stream/],
    "401": [(r) => void r.writeHead(401).end(), /HTTP 401.*headers in tollgate\.yaml/],
    silence: [(r) => void beginStream(r), /did not open its event stream within 150 ms/],
    "no answer": [() => undefined, /did not open its event stream within 150 ms/],
    "an endless event": [
      (r) => void beginStream(r).write(`data: ${"x".repeat(2 * MESSAGE_MAX_BYTES)}`),
      /more than 100000 bytes/,
    ],
  };
  test.each(Object.entries(beginnings))(
    "a server that begins with %s: what waited has not left",
    async (_name, [begin, reason]) => {
      const server = await remoteServer((_asked, response) => begin(response));
      const { transport, heard } = connect(server.url, { connectMs: 150 });
      transport.send(requestOf(1));
      await eventually(() => expect(heard.order).toEqual(["lost", "end"]));
      expect(heard.losts).toMatchObject([{ notDelivered: true, reason: expect.stringMatching(reason) }]);
      await eventually(() => expect(server.sockets.size).toBe(0));
    },
  );

  test("its end closes everything", async () => {
    const server = await accepting();
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1));
    await eventually(() => expect(heard.messages).toHaveLength(1));
    await transport.end();
    expect(heard.order).toEqual(["message", "end"]);
    await eventually(() => expect(server.sockets.size).toBe(0));
  });
});

describe("auto", () => {
  const auto = (url: string, options: Partial<RemoteOptions> = {}) => connect(url, { transport: "auto", ...options });

  test("takes Streamable HTTP where the server knows it", async () => {
    const server = await remoteServer(({ message }, response) => answerJson(response, result(message.id)));
    const { transport, heard } = auto(server.url);
    transport.send(modern(requestOf(1, "server/discover")));
    await eventually(() => expect(heard.messages).toHaveLength(1));
    expect(server.asked).toHaveLength(1);
  });

  test("falls back to HTTP+SSE, and sends there what was refused, and what came meanwhile", async () => {
    const server = await accepting();
    const { transport, heard } = auto(server.url);
    transport.send(modern(requestOf(1, "server/discover")));
    transport.send(requestOf(2));
    await eventually(() => expect(heard.messages).toHaveLength(2));
    expect(heard.losts).toEqual([]);
    transport.send(requestOf(3));
    await eventually(() => expect(heard.messages.at(-1)?.message.id).toBe(3));
    server.stream().destroy();
    await eventually(() => expect(heard.ends).toEqual(["closed the connection"]));
  });

  test.each([400, 404, 405])("stays with HTTP when there is no such stream either, after %i", async (status) => {
    const server = await remoteServer(({ method, message }, response) => {
      if (message?.method === "initialize") answerJson(response, result(message.id));
      else response.writeHead(method === "GET" ? 405 : status).end("no");
    });
    const { transport, heard } = auto(server.url);
    transport.send(modern(requestOf(1, "server/discover")));
    await eventually(() => expect(heard.losts).toMatchObject([{ id: 1, status }]));
    transport.send(requestOf(2, "initialize"));
    await eventually(() => expect(heard.messages).toMatchObject([{ during: 2 }]));
    transport.send(requestOf(3));
    await eventually(() => expect(heard.losts).toMatchObject([{ id: 1 }, { id: 3, status }]));
    expect(server.asked.map(({ method }) => method)).toEqual(["POST", "GET", "POST", "POST"]);
    expect(heard.ends).toEqual([]);
  });

  test("an error that is JSON-RPC is no reason to fall back", async () => {
    const server = await remoteServer(({ message }, response) =>
      answerJson(response, `{"jsonrpc":"2.0","id":${message.id},"error":{"code":-32601,"message":"no"}}`, 404),
    );
    const { transport, heard } = auto(server.url);
    transport.send(modern(requestOf(1, "server/discover")));
    await eventually(() => expect(heard.messages).toHaveLength(1));
    expect(server.asked).toHaveLength(1);
  });

  test("ending while it is tried closes both, once", async () => {
    const server = await remoteServer(({ method }, response) => {
      if (method === "GET") beginStream(response);
      else response.writeHead(404).end();
    });
    const { transport, heard } = auto(server.url);
    transport.send(requestOf(1));
    await eventually(() => expect(server.asked).toHaveLength(2));
    await transport.end();
    expect(heard.order).toEqual(["end"]);
    await eventually(() => expect(server.sockets.size).toBe(0));
  });

  test("what is given up while it is tried is not sent", async () => {
    let open = () => {};
    const server = await remoteServer(({ method, path, message }, response) => {
      if (method === "GET") open = () => beginStream(response).write(event("/messages", { event: "endpoint" }));
      else response.writeHead(path === "/messages" ? 202 : 404).end(String(message.id));
    });
    const { transport, heard } = auto(server.url);
    transport.send(modern(requestOf(1, "server/discover")));
    await eventually(() => expect(server.asked).toHaveLength(2));
    transport.abort(1);
    transport.send(requestOf(2, "initialize"));
    open();
    await eventually(() => expect(server.asked).toHaveLength(3));
    expect(server.asked[2]).toMatchObject({ path: "/messages", message: { id: 2 } });
    expect(heard.order).toEqual([]);
  });

  test.each([
    ["http", "ws://127.0.0.1:1/"],
    ["websocket", "http://127.0.0.1:1/"],
    ["auto", "file:///x"],
    ["sse", "nonsense"],
  ] as const)("a url that does not fit %s is refused: %s", (transport, url) => {
    expect(() => connect(url, { transport })).toThrow(/url/);
  });
});
