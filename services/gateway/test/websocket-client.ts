import { eventually } from "@tollgate/testkit";
import { WebSocket } from "ws";
import type { Installation } from "./installation.ts";

/** A WebSocket of which the test sends and sees every message. */
export interface SocketClient {
  readonly messages: any[];
  /** The code with which it was closed. */
  readonly closed: number | undefined;
  readonly protocol: string;
  send(message: object | string | Buffer): void;
  /** Sends a request and waits for what has its id. */
  request(method: string, params?: object, id?: string | number): Promise<any>;
  initialize(capabilities?: object): Promise<any>;
  close(): void;
}

interface SocketOptions {
  readonly path?: string;
  readonly replica?: number;
  readonly token?: string | undefined;
  readonly protocols?: string[];
  readonly headers?: Record<string, string>;
}

/** @throws {Error} with the HTTP status, when the gateway does not take it */
export async function connectWebSocket(installation: Installation, options: SocketOptions = {}): Promise<SocketClient> {
  const { path = "/mcp/ws", replica = 0, protocols = ["mcp"], headers } = options;
  const token = "token" in options ? options.token : "token";
  const socket = new WebSocket(installation.url(path, replica).replace("http", "ws"), protocols, {
    headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
  });
  const messages: any[] = [];
  let closed: number | undefined;
  let nextId = 1;
  socket.on("message", (data) => messages.push(JSON.parse((data as Buffer).toString("utf8"))));
  socket.on("close", (code) => (closed = code));
  await new Promise<void>((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("unexpected-response", (_request, response) => {
      response.resume();
      reject(new Error([response.statusCode, response.headers["www-authenticate"]].join(" ").trim()));
    });
    socket.once("error", reject);
  });
  socket.on("error", () => undefined);
  const client: SocketClient = {
    messages,
    get closed() {
      return closed;
    },
    protocol: socket.protocol,
    send: (message) =>
      socket.send(typeof message === "string" || Buffer.isBuffer(message) ? message : JSON.stringify(message)),
    async request(method, params = {}, id = `ws-${nextId++}`) {
      client.send({ jsonrpc: "2.0", id, method, params });
      return eventually(() => {
        const found = messages.find((each) => each.id === id && each.method === undefined);
        if (found === undefined) throw new Error(`no answer to ${method}`);
        return found;
      });
    },
    async initialize(capabilities = {}) {
      const params = { protocolVersion: "2025-11-25", capabilities, clientInfo: { name: "test", version: "1.0" } };
      const answer = await client.request("initialize", params);
      client.send({ jsonrpc: "2.0", method: "notifications/initialized" });
      return answer;
    },
    close: () => socket.close(),
  };
  return client;
}
