// Requests byte by byte: every client library refuses to send what a hostile one does.
import { connect } from "node:net";

const ANSWER_MAX_BYTES = 1024 * 1024;

export interface RawAnswer {
  /** 0 where the connection ended without an answer. */
  readonly status: number;
  readonly headers: string;
  readonly body: string;
}

export const TRANSPORTS = ["http", "sse", "websocket", "api"] as const;
export type Transport = (typeof TRANSPORTS)[number];

const CLIENT = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1.0" } };
const INITIALIZE = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params: CLIENT });
const JSON_HEADERS = ["content-type: application/json", "accept: application/json, text/event-stream"];

/** A request that needs nothing but a good credential: request line, headers, body. */
const REQUESTS: Readonly<Record<Transport, { line: string; headers: readonly string[]; body: string }>> = {
  http: {
    line: "POST /mcp HTTP/1.1",
    headers: [...JSON_HEADERS, `content-length: ${INITIALIZE.length}`],
    body: INITIALIZE,
  },
  sse: { line: "GET /mcp/sse HTTP/1.1", headers: ["accept: text/event-stream"], body: "" },
  websocket: {
    line: "GET /mcp/ws HTTP/1.1",
    headers: ["upgrade: websocket", "sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="],
    body: "",
  },
  api: { line: "GET /api/v1/servers HTTP/1.1", headers: ["accept: application/json"], body: "" },
};

/** @param headers lines, sent as they are: each character is one byte */
export function sendRaw(gatewayUrl: string, transport: Transport, headers: readonly string[]): Promise<RawAnswer> {
  const { port, hostname, host } = new URL(gatewayUrl);
  const { line, headers: own, body } = REQUESTS[transport];
  const connection = transport === "websocket" ? "Upgrade" : "close";
  const head = [line, `host: ${host}`, `connection: ${connection}`, ...own, ...headers].join("\r\n");
  const { promise, resolve } = Promise.withResolvers<RawAnswer>();
  const socket = connect(Number(port), hostname, () => socket.write(`${head}\r\n\r\n${body}`, "latin1"));
  let text = "";
  const finish = () => {
    socket.destroy();
    resolve(toAnswer(text));
  };
  socket.setEncoding("utf8");
  socket.on("data", (chunk) => {
    text += String(chunk);
    // A stream that was let in does not end by itself.
    const isOpen = /^HTTP\/1\.1 (?:101|200)/.test(text) && transport !== "http" && transport !== "api";
    if (text.length > ANSWER_MAX_BYTES || (isOpen && text.includes("\r\n\r\n"))) finish();
  });
  // The rest of a request that is too large meets a closed connection.
  socket.on("error", finish);
  socket.on("close", finish);
  return promise;
}

function toAnswer(text: string): RawAnswer {
  const end = text.indexOf("\r\n\r\n");
  const headers = end < 0 ? text : text.slice(0, end);
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(headers)?.[1] ?? 0);
  return { status, headers: headers.toLowerCase(), body: end < 0 ? "" : text.slice(end + 4) };
}
