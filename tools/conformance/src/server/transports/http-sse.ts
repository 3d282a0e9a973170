import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import {
  deserializeMessage,
  type JSONRPCMessage,
  serializeMessage,
  type Transport,
} from "@modelcontextprotocol/server";
import type { FixtureFactory } from "../fixture-server.ts";
import { listen } from "./listener.ts";

/** The transport of 2024-11-05: one event stream to the client, which posts its messages to the address it is told first. */
class SseTransport implements Transport {
  readonly sessionId = randomUUID();
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage) => void;
  readonly #stream: ServerResponse;

  constructor(stream: ServerResponse) {
    this.#stream = stream;
  }

  start(): Promise<void> {
    this.#stream.on("close", () => this.onclose?.());
    this.#stream.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache, no-transform" });
    this.#stream.write(`event: endpoint\ndata: /messages?sessionId=${this.sessionId}\n\n`);
    return Promise.resolve();
  }

  send(message: JSONRPCMessage): Promise<void> {
    this.#stream.write(`event: message\ndata: ${serializeMessage(message).trimEnd()}\n\n`);
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#stream.end();
    return Promise.resolve();
  }
}

export async function serveHttpSse(factory: FixtureFactory, port: number) {
  const clients = new Map<string, SseTransport>();

  async function open(response: ServerResponse): Promise<void> {
    const transport = new SseTransport(response);
    clients.set(transport.sessionId, transport);
    response.on("close", () => clients.delete(transport.sessionId));
    await factory.create("legacy", true).connect(transport);
  }

  async function receive(request: IncomingMessage, response: ServerResponse, sessionId: string | null): Promise<void> {
    const client = clients.get(sessionId ?? "");
    if (client === undefined) return void response.writeHead(404).end("Session not found");
    let message: JSONRPCMessage;
    try {
      message = deserializeMessage(await text(request));
    } catch {
      return void response.writeHead(400).end("Not a message");
    }
    response.writeHead(202).end("Accepted");
    client.onmessage?.(message);
  }

  const { address, close } = await listen(port, async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://localhost");
    if (request.method === "GET" && pathname === "/sse") return open(response);
    if (request.method === "POST" && pathname === "/messages")
      return receive(request, response, searchParams.get("sessionId"));
    response.writeHead(404).end();
  });
  return { url: `http://${address}/sse`, close };
}
