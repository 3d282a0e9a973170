import type { IncomingMessage } from "node:http";
import { createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { eventually } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import type { RemoteOptions } from "../src/upstream/transport.ts";
import { connectRemote, endAfterTest, MESSAGE_MAX_BYTES, notificationOf, requestOf, result } from "./remote-server.ts";

interface SocketServer {
  readonly url: string;
  readonly connections: { readonly socket: WebSocket; readonly request: IncomingMessage; readonly read: string[] }[];
}

async function socketServer(onText: (text: string, socket: WebSocket) => void, autoPong = true): Promise<SocketServer> {
  const server = new WebSocketServer({
    host: "127.0.0.1",
    port: 0,
    autoPong,
    handleProtocols: (all) => all.has("mcp") && "mcp",
  });
  await new Promise((resolve) => server.once("listening", resolve));
  const connections: SocketServer["connections"] = [];
  server.on("connection", (socket, request) => {
    const read: string[] = [];
    connections.push({ socket, request, read });
    socket.on("message", (data: Buffer) => {
      read.push(data.toString());
      onText(data.toString(), socket);
    });
  });
  endAfterTest(async () => {
    for (const { socket } of connections) socket.terminate();
    await new Promise((resolve) => server.close(resolve));
  });
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/mcp/ws`, connections };
}

const echo = (text: string, socket: WebSocket) => socket.send(result(JSON.parse(text).id));

const connect = (url: string, options: Partial<RemoteOptions> = {}) =>
  connectRemote(url, { headers: { Authorization: "Bearer secret-token" }, ...options });

test("a text frame for each message, in order, whenever it was sent", async () => {
  const server = await socketServer((text, socket) => JSON.parse(text).id !== undefined && echo(text, socket));
  const { transport, heard } = connect(server.url);
  const sent = [requestOf(1, "initialize"), notificationOf("notifications/initialized"), requestOf(2)];
  for (const message of sent) transport.send(message);
  await eventually(() => expect(heard.messages).toHaveLength(2));
  transport.send(requestOf(3));
  transport.listen();
  await eventually(() =>
    expect(heard.messages.map(({ message, during }) => [message.id, during])).toEqual(
      [1, 2, 3].map((id) => [id, undefined]),
    ),
  );
  const { read, request, socket } = server.connections[0]!;
  expect(read).toEqual([...sent, requestOf(3)].map(({ text }) => text));
  expect(request.headers.authorization).toBe("Bearer secret-token");
  expect(socket.protocol).toBe("mcp");
});

test("a message on several lines comes on one", async () => {
  const server = await socketServer((text, socket) => socket.send(JSON.stringify(JSON.parse(text), null, 2)));
  const { transport, heard } = connect(server.url);
  transport.send(requestOf(1));
  await eventually(() => expect(heard.messages).toHaveLength(1));
  expect(heard.messages[0]!.text).not.toContain("\n");
});

describe("it ends", () => {
  test("when the server closes: what was sent is lost with it", async () => {
    const server = await socketServer((_text, socket) => socket.close(1001, "going home"));
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1));
    await eventually(() => expect(heard.order).toEqual(["end"]));
    expect(heard.ends).toEqual(['closed the WebSocket (1001 "going home")']);
    transport.send(requestOf(2));
    expect(heard.order).toEqual(["end"]);
  });

  test("when a message is too large", async () => {
    const server = await socketServer((_text, socket) => socket.send("x".repeat(MESSAGE_MAX_BYTES + 1)));
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1));
    await eventually(() => expect(heard.ends).toEqual(["sent a message of more than 100000 bytes"]));
  });

  test("when the server does not answer a ping, though the connection is open", async () => {
    const server = await socketServer(() => undefined, false);
    const { heard } = connect(server.url, { pingMs: 60 });
    await eventually(() => expect(heard.ends).toEqual(["did not answer a ping within 60 ms"]));
  });

  test("but not as long as pings are answered", async () => {
    const server = await socketServer(echo);
    let pings = 0;
    const { heard } = connect(server.url, { pingMs: 20 });
    await eventually(() => expect(server.connections).toHaveLength(1));
    server.connections[0]!.socket.on("ping", () => (pings += 1));
    await eventually(() => expect(pings).toBeGreaterThan(5));
    expect(heard.order).toEqual([]);
  });

  test("by `end`, also when the server does not close its side", async () => {
    const server = await socketServer(echo);
    const { transport, heard } = connect(server.url);
    transport.send(requestOf(1));
    await eventually(() => expect(heard.messages).toHaveLength(1));
    server.connections[0]!.socket.pause();
    await Promise.all([transport.end(), transport.end()]);
    expect(heard.ends).toEqual(["was closed"]);
  });

  test("by `end` before it is open", async () => {
    const server = await socketServer(echo);
    const { transport, heard } = connect(server.url);
    await transport.end();
    expect(heard.ends).toEqual(["was closed"]);
  });
});

describe("what cannot be opened: what waited has not left", () => {
  const expectRefused = async (url: string, reason: RegExp) => {
    const { transport, heard } = connect(url, { connectMs: 200 });
    transport.send(requestOf(1));
    transport.send(requestOf(2));
    transport.abort(2);
    await eventually(() => expect(heard.order).toEqual(["lost", "end"]));
    expect(heard.losts).toMatchObject([{ id: 1, notDelivered: true, reason: expect.stringMatching(reason) }]);
    expect(heard.losts[0]!.reason).not.toContain("secret");
  };

  test("nobody there", () => expectRefused("ws://127.0.0.1:9/", /could not be reached.*ECONNREFUSED/));

  test("credentials that are refused", async () => {
    const url = await tcpServer((socket) => socket.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"));
    await expectRefused(url, /HTTP 401.*headers in tollgate\.yaml/);
  });

  test("a server that does not say anything", async () => {
    await expectRefused(await tcpServer(() => undefined), /could not be reached.*timed out/);
  });

  test("another subprotocol", async () => {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols: () => false });
    await new Promise((resolve) => server.once("listening", resolve));
    endAfterTest(() => new Promise<void>((resolve) => server.close(() => resolve())));
    await expectRefused(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/`, /subprotocol/);
  });
});

/** A server that is none of WebSocket. Returns its url. */
async function tcpServer(onConnection: (socket: Socket) => void): Promise<string> {
  const sockets: Socket[] = [];
  const server = createTcpServer((socket) => {
    sockets.push(socket);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  endAfterTest(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}
