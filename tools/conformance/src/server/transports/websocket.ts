import {
  deserializeMessage,
  type JSONRPCMessage,
  serializeMessage,
  type Transport,
} from "@modelcontextprotocol/server";
import { type WebSocket, WebSocketServer } from "ws";
import type { FixtureFactory } from "../fixture-server.ts";
import { serveConnection, type ServedEra } from "./connection.ts";
import { listen } from "./listener.ts";

const SUBPROTOCOL = "mcp";

class WebSocketTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage) => void;
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  start(): Promise<void> {
    this.#socket.on("message", (data: Buffer) => {
      try {
        this.onmessage?.(deserializeMessage(data.toString()));
      } catch (error) {
        this.onerror?.(error as Error);
      }
    });
    this.#socket.on("close", () => this.onclose?.());
    this.#socket.on("error", (error) => this.onerror?.(error));
    return Promise.resolve();
  }

  send(message: JSONRPCMessage): Promise<void> {
    this.#socket.send(serializeMessage(message).trimEnd());
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#socket.close();
    return Promise.resolve();
  }
}

export async function serveWebSocket(factory: FixtureFactory, era: ServedEra, port: number) {
  const { address, http, close } = await listen(port, async (_request, response) => {
    response.writeHead(426, { upgrade: "websocket" }).end();
  });
  const sockets = new WebSocketServer({
    server: http,
    path: "/mcp",
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });
  sockets.on("connection", (socket) => void serveConnection(factory, era, new WebSocketTransport(socket)));
  return {
    url: `ws://${address}/mcp`,
    close: async () => {
      for (const socket of sockets.clients) socket.terminate();
      await close();
    },
  };
}
