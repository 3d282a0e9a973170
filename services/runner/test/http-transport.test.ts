import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { eventually } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import type { RemoteOptions, Transport } from "../src/upstream/transport.ts";
import {
  answerJson,
  type Asked,
  beginStream,
  connectRemote,
  event,
  MESSAGE_MAX_BYTES,
  modern,
  remoteServer,
  requestOf,
  result,
} from "./remote-server.ts";

const connect = (url: string, options: Partial<RemoteOptions> = {}) =>
  connectRemote(url, { transport: "http", ...options });
const initialize = () => ({ ...requestOf(1, "initialize"), protocol: "" });
const posts = (asked: readonly Asked[]) => asked.filter(({ method }) => method === "POST");

describe("answers", () => {
  test("as JSON, on one line, whatever lines it was written in", async () => {
    const server = await remoteServer(({ message }, response) =>
      answerJson(response, `{\r\n "jsonrpc": "2.0",\n "id": ${message.id},\n "result": {"n": 1.0, "text": "a\\nb"}\n}`),
    );
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(7));
    await eventually(() => expect(heard.messages).toHaveLength(1));
    expect(heard.messages[0]).toMatchObject({ during: 7, message: { id: 7, result: { text: "a\nb" } } });
    expect(heard.messages[0]!.text).not.toMatch(/[\r\n]/);
    expect(heard.messages[0]!.text).toContain('"n": 1.0');
  });

  test("as a stream: what comes before belongs to the request, what comes after to nobody", async () => {
    const progress = JSON.stringify({ jsonrpc: "2.0", method: "notifications/progress" });
    const question = JSON.stringify({ jsonrpc: "2.0", id: "q", method: "sampling/createMessage" });
    const server = await remoteServer(({ message }, response) => {
      beginStream(response).write(": hello\n\n" + event(progress) + event("", { event: "ping" }));
      response.end(event(question) + event(result(message.id)) + event(progress) + event(result(message.id)));
    });
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(3));
    await eventually(() => expect(heard.messages).toHaveLength(3));
    await transport.end();
    expect(heard.messages.map(({ text, during }) => [text, during])).toEqual([
      [progress, 3],
      [question, 3],
      [result(3), 3],
    ]);
    expect(heard.order).toEqual(["message", "message", "message", "end"]);
  });

  test("another request's response on a stream is nobody's", async () => {
    const server = await remoteServer(({ message }, response) =>
      beginStream(response).end(event(result(message.id + 1, "foreign")) + event(result(message.id))),
    );
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1));
    await eventually(() => expect(heard.messages).toHaveLength(1));
    expect(heard.messages).toMatchObject([{ during: 1, message: { id: 1 } }]);
  });

  test("many at once find their requests", async () => {
    const server = await remoteServer(({ message }, response) => {
      const answer = result(message.id, { n: message.params.n });
      if (message.id % 2 === 0) answerJson(response, answer);
      else beginStream(response).end(event(answer));
    });
    const { transport, heard } = connect(server.url);
    const ids = Array.from({ length: 300 }, (_, i) => i + 1);
    for (const id of ids) transport.send(requestOf(id, "tools/call", { n: id * 2 }));
    await eventually(() => expect(heard.messages).toHaveLength(ids.length));
    for (const { message, during } of heard.messages)
      expect(message).toMatchObject({ id: during, result: { n: during! * 2 } });
    expect(heard.losts).toEqual([]);
  });

  test("characters that are split over chunks stay whole", async () => {
    const bytes = Buffer.from(event(result(1, { text: "äöü€😀" })));
    const server = await remoteServer((_asked, response) => {
      beginStream(response);
      const write = (i: number): void => {
        if (i === bytes.length) response.end();
        else response.write(bytes.subarray(i, i + 1), () => setImmediate(write, i + 1));
      };
      write(0);
    });
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1));
    await eventually(() => expect(heard.messages[0]?.message.result.text).toBe("äöü€😀"));
  });

  test("an id that comes back as a string is ours", async () => {
    const server = await remoteServer(({ message }, response) => answerJson(response, result(String(message.id))));
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(5));
    await eventually(() => expect(heard.messages).toHaveLength(1));
  });

  test("a batch that holds the answer is given on as it is (2025-03-26)", async () => {
    const server = await remoteServer(({ message }, response) => {
      const note = { jsonrpc: "2.0", method: "notifications/message" };
      answerJson(response, JSON.stringify([note, JSON.parse(result(message.id))]));
    });
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(5));
    await eventually(() => expect(heard.messages[0]?.message).toHaveLength(2));
  });
});

describe("what does not lead to an answer loses the request and nothing else", () => {
  const answers: Record<string, [(asked: Asked, response: Parameters<typeof answerJson>[0]) => void, RegExp]> = {
    "another request's response": [
      ({ message }, r) => answerJson(r, result(message.id + 1)),
      /response to another request/,
    ],
    "no JSON": [(_, r) => answerJson(r, "<html>"), /no JSON-RPC response/],
    "a request instead of a response": [
      (_, r) => answerJson(r, '{"jsonrpc":"2.0","id":1,"method":"ping"}'),
      /no response/,
    ],
    "another content type": [(_, r) => void r.writeHead(200, { "content-type": "text/html" }).end("x"), /text\/html/],
    "202 without an answer": [(_, r) => void r.writeHead(202).end(), /HTTP 202 without an answer/],
    "a body that is too large": [
      (_, r) => answerJson(r, result(1, "x".repeat(MESSAGE_MAX_BYTES))),
      /more than 100000 bytes/,
    ],
    "an event that is too large": [
      (_, r) => void beginStream(r).end(event(result(1, "x".repeat(MESSAGE_MAX_BYTES)))),
      /more than 100000 bytes/,
    ],
    "an event without end": [
      (_, r) => void beginStream(r).write(`data: ${"x".repeat(2 * MESSAGE_MAX_BYTES)}`),
      /more than 100000 bytes/,
    ],
    "a stream that ends without an answer": [(_, r) => void beginStream(r).end(event("{}")), /before it was complete/],
    "a connection that is cut": [(_, r) => void r.destroy(), /closed the connection/],
    "a body that is cut": [
      (_, r) => (
        r.writeHead(200, { "content-type": "application/json", "content-length": "99" }).write("{"),
        void setImmediate(() => r.destroy())
      ),
      /closed the connection/,
    ],
    "a compressed answer": [(_, r) => answerJson(r, "x", 200, { "content-encoding": "gzip" }), /compressed/],
    "an error of HTTP": [
      (_, r) => void r.writeHead(500, { "content-type": "text/plain" }).end("out of\ndisk"),
      /HTTP 500 \(out of disk\)$/,
    ],
  };
  test.each(Object.entries(answers))("%s", async (_name, [handler, reason]) => {
    const server = await remoteServer((asked, response) =>
      asked.message.id === 1 ? handler(asked, response) : answerJson(response, result(asked.message.id)),
    );
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1));
    await eventually(() => expect(heard.losts).toHaveLength(1));
    expect(heard.losts[0]).toMatchObject({ id: 1, reason: expect.stringMatching(reason), notDelivered: false });
    transport.send(requestOf(2));
    await eventually(() => expect(heard.messages.at(-1)?.during).toBe(2));
    expect(heard.ends).toEqual([]);
    expect(posts(server.asked)).toHaveLength(2);
  });

  test("a server that is silent for too long, before or within its answer", async () => {
    const server = await remoteServer(({ message }, response) => {
      if (message.id === 2) beginStream(response).write(": still there\n\n");
    });
    const { transport, heard } = connect(server.url, { silenceMs: 100 });
    transport.send(requestOf(1));
    transport.send(requestOf(2));
    await eventually(() => expect(heard.losts).toHaveLength(2));
    for (const { reason, notDelivered } of heard.losts)
      expect([reason, notDelivered]).toEqual([expect.stringContaining("said nothing for 100 ms"), false]);
    await eventually(() => expect(server.sockets.size).toBe(0));
  });

  test("but a subscription may be silent, since nothing changes", async () => {
    const server = await remoteServer(({ message }, response) => {
      if (message.method === "subscriptions/listen") beginStream(response);
    });
    const { transport, heard } = connect(server.url, { silenceMs: 50 });
    transport.send(modern(requestOf(1, "subscriptions/listen")));
    transport.send(modern(requestOf(2)));
    transport.send(modern(requestOf(3)));
    await eventually(() => expect(heard.losts.map(({ id }) => id)).toEqual([2, 3]));
    expect(server.sockets.size).toBe(1);
  });

  test("nobody there, or nobody of that name: it has certainly not been taken", async () => {
    const server = await remoteServer(() => undefined);
    await server.close();
    for (const url of [server.url, "http://nowhere.invalid/mcp"]) {
      const { transport, heard } = connect(url);
      transport.send(requestOf(1));
      await eventually(() => expect(heard.losts).toHaveLength(1));
      expect(heard.losts[0]).toMatchObject({
        notDelivered: true,
        reason: expect.stringMatching(/^could not be reached/),
      });
    }
  });

  test("a server that lets nobody in: connecting is bounded", async () => {
    // TLS to one that never says hello.
    const silent = createTcpServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { transport, heard } = connect(`https://127.0.0.1:${(silent.address() as AddressInfo).port}/`, {
      connectMs: 100,
    });
    transport.send(requestOf(1));
    await eventually(() => expect(heard.losts).toHaveLength(1));
    expect(heard.losts[0]).toMatchObject({ notDelivered: true, reason: "could not be reached within 100 ms" });
    silent.close();
  });
});

describe("errors with a status", () => {
  test("that are JSON-RPC are the answer, also without an id", async () => {
    const error = '"error":{"code":-32022,"message":"no","data":{"supported":["2026-07-28"],"n":1.0}}';
    const server = await remoteServer(({ message }, response) => {
      const id = message.id === 1 ? `"id":1,` : message.id === 2 ? `"id":null,` : "";
      answerJson(response, `{"jsonrpc":"2.0",${id}${error}}`, 400);
    });
    const { transport, heard } = connect(server.url);
    for (const id of [1, 2, 3]) transport.send(modern(requestOf(id, "server/discover")));
    await eventually(() => expect(heard.messages).toHaveLength(3));
    for (const { text, during } of heard.messages) expect(text).toBe(`{"jsonrpc":"2.0","id":${during},${error}}`);
    expect(heard.losts).toEqual([]);
  });

  test.each([401, 403])("%i says what to do, and never what was sent", async (status) => {
    const token = "tok-3f9a7c1e55";
    const server = await remoteServer(({ headers }, response) =>
      response
        .writeHead(status, { "content-type": "text/plain" })
        .end(`bad: ${headers.authorization} ${String(headers["x-key"])}`),
    );
    const headers = { Authorization: `Bearer ${token}`, "X-Key": "k-123456" };
    const { transport, heard } = connect(server.url, { headers });
    transport.send(requestOf(1));
    await eventually(() => expect(heard.losts).toHaveLength(1));
    expect(heard.losts[0]).toMatchObject({
      status,
      notDelivered: true,
      reason: expect.stringMatching(/headers in tollgate\.yaml/),
    });
    expect(JSON.stringify(heard.losts)).not.toMatch(/3f9a7c1e55|k-123456/);
  });

  test("a redirect to another origin is not followed, and nobody there gets the headers", async () => {
    const other = await remoteServer(({ message }, response) => answerJson(response, result(message.id)));
    const server = await remoteServer((_asked, response) =>
      response.writeHead(307, { location: `${other.url}?key=1` }).end(),
    );
    const { transport, heard } = connect(server.url, { headers: { authorization: "Bearer secret-token" } });
    transport.send(requestOf(1));
    await eventually(() => expect(heard.losts).toHaveLength(1));
    expect(heard.losts[0]).toMatchObject({
      status: 307,
      notDelivered: true,
      reason: expect.stringContaining(`redirects to ${other.url}:`),
    });
    expect(other.asked).toEqual([]);
  });

  test("a redirect within the origin is, for everything that follows, and not in circles", async () => {
    const server = await remoteServer(({ message, path }, response) => {
      if (message.id === 99) response.writeHead(307, { location: path }).end();
      else if (path === "/mcp") response.writeHead(308, { location: "/mcp/" }).end();
      else answerJson(response, result(message.id));
    });
    const { transport, heard } = connect(server.url);
    for (let id = 1; id <= 20; id++) transport.send(requestOf(id));
    await eventually(() => expect(heard.messages).toHaveLength(20));
    transport.send(requestOf(21));
    await eventually(() => expect(heard.messages).toHaveLength(21));
    expect(server.asked.at(-1)!.path).toBe("/mcp/");
    transport.send(requestOf(99));
    await eventually(() => expect(heard.losts).toMatchObject([{ id: 99, status: 307 }]));
  });
});

describe("headers", () => {
  const asked = async (message: Parameters<Transport["send"]>[0], headers: Record<string, string> = {}) => {
    const server = await remoteServer((one, response) => answerJson(response, result(one.message.id)));
    const { transport } = connect(server.url, { headers });
    transport.send(message);
    await eventually(() => expect(server.asked).toHaveLength(1));
    return server.asked[0]!.headers;
  };

  test("of the configuration go with it, except those that are not its to set", async () => {
    const headers = await asked(requestOf(1), {
      "X-Team": "a b",
      Accept: "text/html",
      "Mcp-Session-Id": "mine",
      "Content-Length": "3",
    });
    expect(headers).toMatchObject({
      "x-team": "a b",
      accept: "application/json, text/event-stream",
      "content-type": "application/json",
    });
    expect(headers["mcp-session-id"]).toBeUndefined();
  });

  test("one that cannot be sent is named without its value", async () => {
    const { transport, heard } = connect("http://127.0.0.1:9/mcp", { headers: { "x-key": "secret\nvalue" } });
    transport.send(requestOf(1));
    await eventually(() =>
      expect(heard.losts).toMatchObject([{ id: 1, notDelivered: true, reason: expect.stringContaining("x-key") }]),
    );
    expect(heard.losts[0]!.reason).not.toContain("secret");
  });

  test("of the legacy era: the revision, once it is known", async () => {
    const headers = await asked(initialize());
    expect(headers["mcp-protocol-version"]).toBeUndefined();
    const later = await asked(requestOf(1, "tools/call", { name: "x" }));
    expect(later).toMatchObject({ "mcp-protocol-version": "2025-11-25" });
    expect([later["mcp-method"], later["mcp-name"]]).toEqual([undefined, undefined]);
  });

  test.each([
    ["tools/call", { name: "echo", uri: "no" }, "echo"],
    ["prompts/get", { name: "Größe" }, "=?base64?R3LDtsOfZQ==?="],
    ["resources/read", { uri: "file:///a b.txt", name: "no" }, "file:///a b.txt"],
    ["tasks/get", { taskId: " 7" }, "=?base64?IDc=?="],
    ["tools/list", { name: "no" }, undefined],
  ])("of the modern era: %s %j", async (method, params, name) => {
    const headers = await asked(modern(requestOf(1, method, params)));
    expect(headers).toMatchObject({ "mcp-protocol-version": "2026-07-28", "mcp-method": method });
    expect(headers["mcp-name"]).toBe(name);
  });

  test("of parameters, encoded as the specification's examples are", async () => {
    const headers = await asked({
      ...modern(requestOf(1)),
      paramHeaders: {
        "Mcp-Param-Region": "us-west1",
        "Mcp-Param-Greeting": "Hello, 世界",
        "Mcp-Param-Text": " padded ",
        "Mcp-Param-Lines": "line1\nline2",
        "Mcp-Param-Val": "=?base64?literal?=",
        "Mcp-Param-Empty": "",
      },
    });
    expect(headers).toMatchObject({
      "mcp-param-region": "us-west1",
      "mcp-param-greeting": "=?base64?SGVsbG8sIOS4lueVjA==?=",
      "mcp-param-text": "=?base64?IHBhZGRlZCA=?=",
      "mcp-param-lines": "=?base64?bGluZTEKbGluZTI=?=",
      "mcp-param-val": "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=",
      "mcp-param-empty": "=?base64??=",
    });
  });
});
