import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { openHttp } from "../src/clients/http.ts";
import { partialSuccessOf } from "../src/clients/otlp.ts";
import { sendBytes } from "../src/clients/socket.ts";

const servers: Server[] = [];
const sockets = new Set<Socket>();
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
});

async function listen(server: Server): Promise<number> {
  servers.push(server);
  server.on("connection", (socket) => void sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

const never = new AbortController().signal;
const megabytes = Buffer.alloc(16 * 1024 * 1024, "x");

describe("bytes that are sent over TCP", () => {
  const send = (port: number, bytes: Buffer, { timeoutMs = 5_000, signal = never } = {}) =>
    sendBytes(bytes, { host: "127.0.0.1", port, tls: undefined, timeoutMs, signal });

  it("are taken when the receiver has read them all and ended its side", async () => {
    let read = 0;
    const port = await listen(createServer((socket) => socket.on("data", (chunk) => (read += chunk.length))));
    await send(port, megabytes);
    expect(read).toBe(megabytes.length);
  });

  it.each<[string, (socket: Socket) => void, string]>([
    ["that ends at once", (socket) => void socket.end(), "before it had all"],
    ["that reads and resets", (socket) => socket.on("data", () => void socket.resetAndDestroy()), "ECONNRESET"],
    ["that dies without reading", (socket) => void setTimeout(() => socket.resetAndDestroy(), 20), "ECONNRESET"],
  ])("are not, by one %s", async (_what, take, problem) => {
    const port = await listen(createServer({ pauseOnConnect: false }, take));
    await expect(send(port, Buffer.from("5 hello"))).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining(problem),
    });
  });

  it("are not, by one that does not read, or does not end: it says which", async () => {
    const deaf = await listen(createServer((socket) => socket.pause()));
    await expect(send(deaf, megabytes, { timeoutMs: 300 })).rejects.toThrow("has not taken all within 300 ms");
    const endless = await listen(createServer({ allowHalfOpen: true }, (socket) => socket.resume()));
    const late = "has not closed a connection that was ended within 300 ms";
    await expect(send(endless, Buffer.from("5 hello"), { timeoutMs: 300 })).rejects.toThrow(late);
  });

  it("are given up when nobody waits for them any more", async () => {
    const deaf = await listen(createServer((socket) => socket.pause()));
    const ending = new AbortController();
    const sending = send(deaf, megabytes, { signal: ending.signal });
    ending.abort();
    await expect(sending).rejects.toMatchObject({ code: "unavailable" });
    await expect(send(deaf, megabytes, { signal: ending.signal })).rejects.toMatchObject({ code: "unavailable" });
  });
});

describe("an HTTP receiver", () => {
  const open = (port: number, timeoutMs = 5_000) =>
    openHttp({ url: `http://127.0.0.1:${port}/`, headers: {}, tls: {}, gzip: false, timeoutMs });
  const post = (http: ReturnType<typeof open>) => http.post("x", { contentType: "text/plain", signal: never });

  it("that begins an answer and hangs is late; one that breaks it off has not taken anything", async () => {
    const hanging = open(await listen(createHttpServer((_request, response) => void response.write("{"))), 300);
    await expect(post(hanging)).rejects.toMatchObject({ code: "unavailable", message: "no answer within 300 ms" });
    const breaking = open(
      await listen(
        createHttpServer((_request, response) => {
          response.writeHead(200, { "content-length": "10" }).write("{", () => response.destroy());
        }),
      ),
    );
    await expect(post(breaking)).rejects.toMatchObject({ code: "unavailable" });
    for (const http of [hanging, breaking]) http.close();
  });

  it.each([
    [400, {}, { code: "failed_precondition", message: "the receiver has answered 400" }],
    [302, { location: "/other" }, { code: "failed_precondition" }],
    [413, {}, { code: "failed_precondition" }],
    [429, { "retry-after": "7" }, { code: "unavailable", details: { retryAfterMs: 7_000 } }],
    [503, { "retry-after": "999999999" }, { code: "unavailable", details: { retryAfterMs: 3_600_000 } }],
    [500, { "retry-after": "soon" }, { code: "unavailable", details: {} }],
  ])("that answers %i %j", async (status, headers, expected) => {
    const http = open(
      await listen(createHttpServer((_request, response) => void response.writeHead(status, headers).end())),
    );
    await expect(post(http)).rejects.toMatchObject(expected);
    http.close();
  });
});

it.each([
  ["", 0, ""],
  ["{}", 0, ""],
  ["null", 0, ""],
  ['{"partialSuccess":{}}', 0, ""],
  ['{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"a\\u001bb"}}', 3, "a b"],
  ['{"partialSuccess":{"rejectedLogRecords":2}}', 2, ""],
  ['{"partialSuccess":{"rejectedLogRecords":"many"}}', 0, ""],
])("a collector's answer %j rejects %i", (answer, rejected, reason) => {
  expect(partialSuccessOf(answer)).toEqual({ rejected, reason });
});
