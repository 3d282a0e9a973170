import type { Log } from "@tollgate/service";
import { WebSocket } from "ws";
import { CONNECT_MS } from "./http-endpoint.ts";
import { configuredHeaders, createRedaction } from "./request-headers.ts";
import { oneLine } from "./server-text.ts";
import type { Outgoing, RemoteOptions, Transport, TransportEvents } from "./transport.ts";

const SUBPROTOCOL = "mcp";
/** A peer that answers none of the pings within one such interval is gone. */
const PING_MS = 15_000;
/** What may wait for a server that does not read. */
const UNSENT_MAX_BYTES = 64 * 1024 * 1024;
const CLOSE_MAX_MS = 1_000;

/** MCP over a WebSocket, subprotocol `mcp`: a text frame for each message, both ways. */
export class WebSocketTransport implements Transport {
  readonly pid = 0;
  readonly #events: TransportEvents;
  readonly #log: Log;
  readonly #socket: WebSocket;
  readonly #redact: (text: string) => string;
  readonly #closed: Promise<void>;
  /** What waits for the connection; undefined once it is open. */
  #held: Outgoing[] | undefined = [];
  #pinging: NodeJS.Timeout | undefined;
  #heard = true;
  /** Why it ends, as far as it is known before it has. */
  #reason: string | undefined;

  constructor(options: RemoteOptions) {
    const { connectMs = CONNECT_MS, lineMaxBytes, pingMs = PING_MS } = options;
    const headers = configuredHeaders(options.headers);
    this.#events = options.events;
    this.#log = options.log;
    this.#redact = createRedaction(new URL(options.url), headers);
    this.#socket = new WebSocket(options.url, SUBPROTOCOL, {
      headers,
      maxPayload: lineMaxBytes,
      handshakeTimeout: connectMs,
      perMessageDeflate: false,
      followRedirects: false,
    });
    this.#closed = new Promise((resolve) => {
      this.#socket.once("close", (code, said) => {
        this.#finish(this.#reason ?? closeReason(code, said.toString()));
        resolve();
      });
    });
    this.#socket.on("error", (error) => (this.#reason ??= failureOf(error, lineMaxBytes)));
    this.#socket.on("unexpected-response", (_request, { statusCode }) => {
      const credentials = statusCode === 401 || statusCode === 403;
      const advice = credentials ? ": check the server's headers in tollgate.yaml (Authorization)" : "";
      this.#reason = `answered HTTP ${statusCode} instead of opening a WebSocket${advice}`;
      this.#socket.terminate();
    });
    this.#socket.on("open", () => this.#open(pingMs));
    this.#socket.on("pong", () => (this.#heard = true));
    this.#socket.on("message", (data, binary) => {
      this.#heard = true;
      if (binary) this.#log.warn("the server sent a binary WebSocket message, which MCP does not know");
      else this.#events.onMessage(oneLine((data as Buffer).toString()), undefined);
    });
  }

  send(message: Outgoing): void {
    if (this.#held !== undefined) return void this.#held.push(message);
    const { frame, text } = message;
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    if (this.#socket.bufferedAmount <= UNSENT_MAX_BYTES) return this.#socket.send(text);
    if (frame.kind !== "request") return this.#end("does not read what it is sent");
    process.nextTick(() => this.#events.onLost(frame.id, "does not read what it is sent", { notDelivered: true }));
  }

  abort(id: number): void {
    this.#held = this.#held?.filter(({ frame }) => frame.kind !== "request" || frame.id !== id);
  }

  tail(): string {
    return "";
  }

  listen(): void {}

  end(): Promise<void> {
    this.#reason ??= "was closed";
    this.#socket.close(1000);
    const timer = setTimeout(() => this.#socket.terminate(), CLOSE_MAX_MS);
    return this.#closed.finally(() => clearTimeout(timer));
  }

  #open(pingMs: number): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const message of held) this.send(message);
    this.#pinging = setInterval(() => {
      if (!this.#heard) return this.#end(`did not answer a ping within ${pingMs} ms`);
      this.#heard = false;
      return this.#socket.ping();
    }, pingMs);
  }

  #end(reason: string): void {
    this.#reason ??= reason;
    this.#socket.terminate();
  }

  #finish(reason: string): void {
    clearInterval(this.#pinging);
    const said = this.#redact(reason);
    for (const { frame } of this.#held ?? []) {
      if (frame.kind === "request") this.#events.onLost(frame.id, said, { notDelivered: true });
    }
    this.#held = undefined;
    this.#events.onEnd(said);
  }
}

function failureOf(error: NodeJS.ErrnoException, maxBytes: number): string {
  if (error.code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") return `sent a message of more than ${maxBytes} bytes`;
  return error.code?.startsWith("WS_ERR")
    ? `broke the WebSocket: ${error.message}`
    : `could not be reached: ${error.message}`;
}

function closeReason(code: number, said: string): string {
  return `closed the WebSocket (${code}${said === "" ? "" : ` ${JSON.stringify(said)}`})`;
}
