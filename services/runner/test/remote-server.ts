import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { testLog } from "@tollgate/testkit";
import { afterEach } from "vitest";
import { openRemote } from "../src/upstream/remote-transport.ts";
import type { Outgoing, RemoteOptions, Transport, TransportEvents } from "../src/upstream/transport.ts";

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  /** The JSON-RPC message, or undefined where there is no body. */
  readonly message: any;
}

type Handler = (asked: Asked, response: ServerResponse, request: IncomingMessage) => void;

export interface RemoteServer {
  readonly url: string;
  readonly port: number;
  readonly asked: Asked[];
  /** Connections that are open now. */
  readonly sockets: ReadonlySet<Socket>;
  close(): Promise<void>;
}

const closers: (() => Promise<void>)[] = [];

/** A server that does with each request what the test says; it is closed after the test. */
export async function remoteServer(handler: Handler, path = "/mcp"): Promise<RemoteServer> {
  const asked: Asked[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (text: string) => (body += text));
    request.on("end", () => {
      const message = body === "" ? undefined : JSON.parse(body);
      const one = { method: request.method ?? "", path: request.url ?? "", headers: request.headers, message };
      asked.push(one);
      handler(one, response, request);
    });
  });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  closers.push(close);
  return { url: `http://127.0.0.1:${port}${path}`, port, asked, sockets, close };
}

/** What comes out of a transport. */
interface Heard {
  readonly events: TransportEvents;
  readonly messages: { readonly message: any; readonly text: string; readonly during: number | undefined }[];
  readonly losts: {
    readonly id: number;
    readonly reason: string;
    readonly notDelivered: boolean;
    readonly status?: number;
  }[];
  readonly ends: string[];
  /** All of it in order, by kind. */
  readonly order: string[];
}

function listenTo(): Heard {
  const heard: Omit<Heard, "events"> = { messages: [], losts: [], ends: [], order: [] };
  const events: TransportEvents = {
    onMessage(text, during) {
      heard.messages.push({ message: JSON.parse(text), text, during });
      heard.order.push("message");
      return "unasked";
    },
    onLost(id, reason, { notDelivered, status }) {
      heard.losts.push({ id, reason, notDelivered, ...(status === undefined ? {} : { status }) });
      heard.order.push("lost");
    },
    onEnd(reason) {
      heard.ends.push(reason);
      heard.order.push("end");
    },
  };
  return { ...heard, events };
}

/** Ends after the test, before the servers do. */
export function endAfterTest(end: () => Promise<void>): void {
  closers.push(end);
}

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** Of one message, in the transports that tests open. */
export const MESSAGE_MAX_BYTES = 100_000;

/** A transport that ends after the test. */
export function connectRemote(
  url: string,
  options: Partial<RemoteOptions> = {},
): { transport: Transport; heard: Heard } {
  const heard = listenTo();
  const transport = openRemote({
    url,
    transport: "auto",
    headers: {},
    lineMaxBytes: MESSAGE_MAX_BYTES,
    events: heard.events,
    log: testLog,
    ...options,
  });
  endAfterTest(() => transport.end());
  return { transport, heard };
}

const LEGACY = { era: "legacy", protocol: "2025-11-25" } as const;

export function requestOf(id: number, method = "tools/call", params: Record<string, unknown> = {}): Outgoing {
  const text = JSON.stringify({ jsonrpc: "2.0", id, method, params });
  return { ...LEGACY, text, frame: { kind: "request", id, method, params } };
}

export function notificationOf(method: string, params: Record<string, unknown> = {}): Outgoing {
  return {
    ...LEGACY,
    text: JSON.stringify({ jsonrpc: "2.0", method, params }),
    frame: { kind: "notification", method, params },
  };
}

export function responseOf(id: number | string, result: object): Outgoing {
  return { ...LEGACY, text: JSON.stringify({ jsonrpc: "2.0", id, result }), frame: { kind: "response" } };
}

export function modern(message: Outgoing): Outgoing {
  return { ...message, era: "modern", protocol: "2026-07-28" };
}

export const result = (id: unknown, value: unknown = {}) => JSON.stringify({ jsonrpc: "2.0", id, result: value });

/** One event of a stream. */
export const event = (data: string, fields: { id?: string; event?: string; retry?: number } = {}) =>
  [...Object.entries(fields).map(([name, value]) => `${name}: ${value}`), `data: ${data}`, "", ""].join("\n");

export function answerJson(
  response: ServerResponse,
  body: string,
  status = 200,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
}

export function beginStream(response: ServerResponse): ServerResponse {
  response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
  return response;
}
