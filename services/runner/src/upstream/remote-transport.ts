import { AppError } from "@tollgate/errors";
import { HttpTransport } from "./http-transport.ts";
import { SseTransport } from "./sse-transport.ts";
import type { LostInfo, Outgoing, RemoteOptions, Transport } from "./transport.ts";
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
  readonly #http: HttpTransport;
  #inner: Transport;
  /** HTTP+SSE while it is tried. */
  #trying: Transport | undefined;
  /** It is known which one the server has. */
  #settled = false;
  /** Requests of which nothing is known, until that is settled. */
  readonly #sent = new Map<number, Outgoing>();
  /** Requests that were refused, with how that is reported. */
  readonly #refused = new Map<Outgoing, () => void>();
  /** What is sent while HTTP+SSE is tried. */
  #held: Outgoing[] = [];

  constructor(options: RemoteOptions) {
    this.#options = options;
    const { events } = options;
    this.#http = new HttpTransport({
      ...options,
      events: {
        onMessage: (text, during) => {
          this.#settled = true;
          return events.onMessage(text, during);
        },
        onLost: (id, reason, info) => this.#lost(id, info, () => events.onLost(id, reason, info)),
        onEnd: (reason) => {
          if (this.#inner === this.#http) events.onEnd(reason);
        },
      },
    });
    this.#inner = this.#http;
  }

  send(message: Outgoing): void {
    if (this.#trying !== undefined) return void this.#held.push(message);
    if (!this.#settled && message.frame.kind === "request") this.#sent.set(message.frame.id, message);
    return this.#inner.send(message);
  }

  abort(id: number): void {
    const isOther = ({ frame }: Outgoing) => frame.kind !== "request" || frame.id !== id;
    this.#held = this.#held.filter(isOther);
    for (const message of this.#refused.keys()) if (!isOther(message)) this.#refused.delete(message);
    this.#sent.delete(id);
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
    this.#refused.clear();
    await this.#trying?.end();
    await this.#inner.end();
  }

  #lost(id: number, { status = 0 }: LostInfo, report: () => void): void {
    const message = this.#sent.get(id);
    this.#sent.delete(id);
    if (this.#settled || message === undefined || !FALLBACK_STATUSES.includes(status)) return report();
    this.#refused.set(message, report);
    this.#trying ??= this.#try();
  }

  #try(): Transport {
    const { events, connectMs = FALLBACK_MS } = this.#options;
    const sse: Transport = new SseTransport({
      ...this.#options,
      connectMs: Math.min(connectMs, FALLBACK_MS),
      onOpen: () => this.#change(sse),
      events: {
        onMessage: events.onMessage,
        onLost: events.onLost,
        onEnd: (reason) => {
          if (this.#inner === sse) return events.onEnd(reason);
          for (const report of this.#refused.values()) report();
          return this.#settle([]);
        },
      },
    });
    return sse;
  }

  #change(sse: Transport): void {
    this.#inner = sse;
    void this.#http.end();
    for (const id of this.#sent.keys()) {
      this.#options.events.onLost(id, "changed the transport", { notDelivered: false });
    }
    this.#settle([...this.#refused.keys()]);
  }

  #settle(first: readonly Outgoing[]): void {
    this.#settled = true;
    this.#trying = undefined;
    this.#sent.clear();
    this.#refused.clear();
    for (const message of [...first, ...this.#held.splice(0)]) this.#inner.send(message);
  }
}
