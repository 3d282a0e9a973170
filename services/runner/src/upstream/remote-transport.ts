import { AppError } from "@tollgate/errors";
import { HttpTransport } from "./http-transport.ts";
import { SseTransport } from "./sse-transport.ts";
import type { Outgoing, RemoteOptions, Transport } from "./transport.ts";
import { WebSocketTransport } from "./websocket-transport.ts";

/** How long a server that does not know Streamable HTTP has to open the stream of HTTP+SSE. */
const FALLBACK_MS = 3_000;
/** What a server of HTTP+SSE says to a POST (2025-11-25, Backwards Compatibility). */
const FALLBACK_STATUSES = [400, 404, 405];

/**
 * Opens a connection to a remote server. It connects by itself: what fails is said by the events.
 * @throws {AppError} `invalid_argument` where the url does not fit the transport
 */
export function openRemote(options: RemoteOptions): Transport {
  const protocol = URL.canParse(options.url) ? new URL(options.url).protocol : "";
  const isWebSocket = protocol === "ws:" || protocol === "wss:";
  const kind = options.transport === "auto" && isWebSocket ? "websocket" : options.transport;
  const fits = kind === "websocket" ? isWebSocket : protocol === "http:" || protocol === "https:";
  if (!fits) throw new AppError("invalid_argument", `the server's url is not one of the transport "${kind}"`);
  switch (kind) {
    case "http":
      return new HttpTransport(options);
    case "sse":
      return new SseTransport(options);
    case "websocket":
      return new WebSocketTransport(options);
    case "auto":
      return new AutoTransport(options);
  }
}

/**
 * Streamable HTTP until the first request is refused as only a server of HTTP+SSE would, and then that, if it opens its
 * stream. A server that does not is one of Streamable HTTP after all, and gets what follows there.
 */
class AutoTransport implements Transport {
  readonly pid = 0;
  readonly #options: RemoteOptions;
  #inner: Transport;
  /** HTTP+SSE while it is tried. */
  #trying: Transport | undefined;
  #tried = false;
  /** What waits while it is tried; first of all the request that was refused. */
  #held: Outgoing[] = [];
  #first: Outgoing | undefined;

  constructor(options: RemoteOptions) {
    this.#options = options;
    const { events } = options;
    const http = new HttpTransport({
      ...options,
      events: {
        onMessage: (text, during) => {
          this.#tried = true;
          events.onMessage(text, during);
        },
        onLost: (id, reason, info) => {
          const first = this.#first;
          this.#first = undefined;
          const fallback = !this.#tried && first !== undefined && FALLBACK_STATUSES.includes(info.status ?? 0);
          if (fallback) this.#try(first, () => events.onLost(id, reason, info));
          else events.onLost(id, reason, info);
        },
        onEnd: (reason) => {
          if (this.#inner === http) events.onEnd(reason);
        },
      },
    });
    this.#inner = http;
  }

  send(message: Outgoing): void {
    if (this.#trying !== undefined) return void this.#held.push(message);
    if (message.frame.kind === "request") this.#first ??= message;
    return this.#inner.send(message);
  }

  abort(id: number): void {
    this.#held = this.#held.filter(({ frame }) => frame.kind !== "request" || frame.id !== id);
    this.#inner.abort(id);
  }

  tail(): string {
    return this.#inner.tail();
  }

  listen(): void {
    this.#inner.listen();
  }

  async end(): Promise<void> {
    this.#held = [];
    await this.#trying?.end();
    await this.#inner.end();
  }

  #try(first: Outgoing, onRefused: () => void): void {
    const { events, connectMs = FALLBACK_MS } = this.#options;
    this.#tried = true;
    this.#held = [first];
    let opened = false;
    const sse: Transport = new SseTransport({
      ...this.#options,
      connectMs: Math.min(connectMs, FALLBACK_MS),
      onOpen: () => {
        opened = true;
        const http = this.#inner;
        this.#inner = sse;
        void http.end();
        this.#release();
      },
      events: {
        onMessage: events.onMessage,
        onLost: events.onLost,
        onEnd: (reason) => {
          if (opened) return events.onEnd(reason);
          if (this.#held[0] === first) {
            this.#held.shift();
            onRefused();
          }
          return this.#release();
        },
      },
    });
    this.#trying = sse;
  }

  #release(): void {
    this.#trying = undefined;
    for (const message of this.#held.splice(0)) this.#inner.send(message);
  }
}
