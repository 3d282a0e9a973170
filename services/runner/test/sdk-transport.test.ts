/** The transports against servers of the official SDK, of both its lines. */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { NodeStreamableHTTPServerTransport, toNodeHandler } from "@modelcontextprotocol/node";
import { McpServer as SseMcpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { SSEServerTransport } from "@modelcontextprotocol/sdk/server/sse.js";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { eventually } from "@tollgate/testkit";
import { expect, test } from "vitest";
import { connectRemote, endAfterTest, modern, notificationOf, requestOf, responseOf } from "./remote-server.ts";

async function listen(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  endAfterTest(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const INITIALIZE = {
  protocolVersion: "2025-11-25",
  capabilities: { roots: {} },
  clientInfo: { name: "t", version: "1" },
};
const META = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": {},
};

/** Keeps the events of all streams, so that each can be taken up again. */
function eventStore() {
  const events: { id: string; stream: string; message: any }[] = [];
  return {
    storeEvent(stream: string, message: any) {
      const id = `e${events.length}`;
      events.push({ id, stream, message });
      return Promise.resolve(id);
    },
    async replayEventsAfter(last: string, { send }: { send: (id: string, message: any) => Promise<void> }) {
      const at = events.findIndex(({ id }) => id === last);
      const stream = events[at]!.stream;
      for (const each of events.slice(at + 1)) {
        if (each.stream === stream && "jsonrpc" in each.message) await send(each.id, each.message);
      }
      return stream;
    },
  };
}

async function legacyServer() {
  let transport: NodeStreamableHTTPServerTransport | undefined;
  const server = new McpServer({ name: "sdk", version: "1" }, { capabilities: { logging: {} } });
  server.registerTool("echo", {}, async () => ({ content: [{ type: "text", text: "hello" }] }));
  server.registerTool("roots", {}, async (context: any) => {
    const { roots } = await context.mcpReq.send({ method: "roots/list" });
    return { content: [{ type: "text", text: JSON.stringify(roots) }] };
  });
  server.registerTool("slow", {}, async (context: any) => {
    context.http.closeSSE();
    await new Promise((resolve) => setTimeout(resolve, 100));
    return { content: [{ type: "text", text: "resumed" }] };
  });
  const url = await listen((request, response) => void transport?.handleRequest(request, response));
  async function begin() {
    await transport?.close();
    transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: eventStore(),
      retryInterval: 20,
    });
    await server.connect(transport);
  }
  await begin();
  return { url, server, begin, isConnected: () => server.isConnected(), sessionId: () => transport?.sessionId };
}

test("a legacy server: calls, questions on the call's stream, polling, what it says unasked, an expired session", async () => {
  const { url, server, begin, sessionId } = await legacyServer();
  const { transport, heard } = connectRemote(url);
  const last = () => heard.messages.at(-1)!;
  transport.send({ ...requestOf(1, "initialize", INITIALIZE), protocol: "" });
  await eventually(() =>
    expect(heard.messages).toMatchObject([{ during: 1, message: { id: 1, result: { serverInfo: { name: "sdk" } } } }]),
  );
  expect(sessionId()).toBeDefined();
  transport.send(notificationOf("notifications/initialized"));
  transport.listen();
  transport.send(requestOf(2, "tools/call", { name: "echo", arguments: {} }));
  await eventually(() =>
    expect(last()).toMatchObject({ during: 2, message: { result: { content: [{ text: "hello" }] } } }),
  );

  transport.send(requestOf(3, "tools/call", { name: "roots", arguments: {} }));
  await eventually(() => expect(last()).toMatchObject({ during: 3, message: { method: "roots/list" } }));
  transport.send(responseOf(last().message.id, { roots: [{ uri: "file:///r" }] }));
  await eventually(() =>
    expect(last()).toMatchObject({
      during: 3,
      message: { id: 3, result: { content: [{ text: '[{"uri":"file:///r"}]' }] } },
    }),
  );

  transport.send(requestOf(4, "tools/call", { name: "slow", arguments: {} }));
  await eventually(() =>
    expect(last()).toMatchObject({ during: 4, message: { id: 4, result: { content: [{ text: "resumed" }] } } }),
  );

  server.sendToolListChanged();
  await eventually(() =>
    expect(last()).toMatchObject({ during: undefined, message: { method: "notifications/tools/list_changed" } }),
  );
  expect(heard.losts).toEqual([]);

  await begin();
  transport.send(requestOf(5, "tools/call", { name: "echo", arguments: {} }));
  await eventually(() => expect(heard.ends).toHaveLength(1));
  expect(heard.losts).toMatchObject([{ id: 5, notDelivered: true, status: 404 }]);
});

test("the end of a connection is the end of its session", async () => {
  const { url, isConnected } = await legacyServer();
  const { transport, heard } = connectRemote(url);
  transport.send({ ...requestOf(1, "initialize", INITIALIZE), protocol: "" });
  await eventually(() => expect(heard.messages).toHaveLength(1));
  expect(isConnected()).toBe(true);
  await transport.end();
  await eventually(() => expect(isConnected()).toBe(false));
});

test("a modern server: discovery, headers that it checks, errors, subscriptions, cancelling", async () => {
  let cancelled = 0;
  const handler = createMcpHandler(() => {
    const server = new McpServer({ name: "sdk", version: "1" }, { capabilities: { tools: { listChanged: true } } });
    server.registerPrompt("größe", {}, () => ({
      messages: [{ role: "user", content: { type: "text", text: "hello" } }],
    }));
    server.registerTool("wait", {}, async (context: any) => {
      await new Promise((resolve) => context.mcpReq.signal.addEventListener("abort", resolve));
      cancelled += 1;
      return { content: [] };
    });
    return server;
  });
  endAfterTest(() => handler.close());
  const node = toNodeHandler(handler);
  const { transport, heard } = connectRemote(
    await listen((request, response) => void node(request as never, response)),
  );
  const ask = (id: number, method: string, params: object = {}) =>
    transport.send(modern(requestOf(id, method, { ...params, _meta: META })));
  const answerTo = (id: number) => heard.messages.find(({ message }) => message.id === id)?.message;

  ask(1, "server/discover");
  await eventually(() => expect(answerTo(1)).toMatchObject({ result: { supportedVersions: ["2026-07-28"] } }));
  ask(2, "prompts/get", { name: "größe" });
  await eventually(() => expect(answerTo(2)).toMatchObject({ result: { messages: [{ content: { text: "hello" } }] } }));
  ask(3, "no/such");
  await eventually(() => expect(answerTo(3)).toMatchObject({ error: { code: -32601 } }));
  transport.send({ ...modern(requestOf(4, "tools/list", { _meta: META })), protocol: "2025-11-25" });
  await eventually(() => expect(answerTo(4)).toMatchObject({ error: { code: -32020 } }));

  ask(5, "subscriptions/listen", { notifications: { toolsListChanged: true } });
  await eventually(() =>
    expect(heard.messages.at(-1)).toMatchObject({
      during: 5,
      message: { method: "notifications/subscriptions/acknowledged" },
    }),
  );
  handler.notify.toolsChanged();
  await eventually(() =>
    expect(heard.messages.at(-1)).toMatchObject({ during: 5, message: { method: "notifications/tools/list_changed" } }),
  );

  ask(6, "tools/call", { name: "wait", arguments: {} });
  // The server has it when it has answered what was sent after it.
  ask(7, "tools/list");
  await eventually(() => expect(answerTo(7)).toBeDefined());
  transport.send(modern(notificationOf("notifications/cancelled", { requestId: 6 })));
  await eventually(() => expect(cancelled).toBe(1));
  expect(heard.losts).toEqual([]);
});

test("a server of HTTP+SSE, found by its refusal of Streamable HTTP", async () => {
  const server = new SseMcpServer({ name: "sdk", version: "1" });
  server.registerTool("echo", {}, async () => ({ content: [{ type: "text", text: "hello" }] }));
  let post = (_request: IncomingMessage, response: ServerResponse): unknown => response.writeHead(404).end();
  const url = await listen((request, response) => {
    if (request.url?.startsWith("/messages")) return void post(request, response);
    if (request.method !== "GET") return void response.writeHead(404).end("not here");
    // oxlint-disable-next-line typescript/no-deprecated -- HTTP+SSE as a whole is, and there are servers of it.
    const sse = new SSEServerTransport("/messages", response);
    post = (posted, answer) => sse.handlePostMessage(posted, answer);
    return void server.connect(sse);
  });
  const { transport, heard } = connectRemote(`${url}/sse`);
  transport.send({ ...requestOf(1, "initialize", INITIALIZE), protocol: "" });
  await eventually(() =>
    expect(heard.messages).toMatchObject([{ message: { id: 1, result: { serverInfo: { name: "sdk" } } } }]),
  );
  transport.send(notificationOf("notifications/initialized"));
  transport.send(requestOf(2, "tools/call", { name: "echo", arguments: {} }));
  await eventually(() =>
    expect(heard.messages.at(-1)).toMatchObject({ message: { id: 2, result: { content: [{ text: "hello" }] } } }),
  );
  await server.close();
  await eventually(() => expect(heard.ends).toHaveLength(1));
});
