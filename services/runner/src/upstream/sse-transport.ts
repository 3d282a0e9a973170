import type { IncomingMessage } from "node:http";
import type { Log } from "@tollgate/service";
import type { Exchange } from "./http-client.ts";
import { CONNECT_MS, type HttpEndpoint, openEndpoint } from "./http-endpoint.ts";
import { HttpPost } from "./http-post.ts";
import { refusalReason, SESSION_GONE } from "./http-refusal.ts";
import { readBody, readEvents } from "./response-body.ts";
import { oneLine } from "./server-text.ts";
import { isInitialized, type Outgoing, type RemoteOptions, type Transport, type TransportEvents } from "./transport.ts";

/**
 * HTTP+SSE (MCP 2024-11-05, Transports): a stream by GET, whose first event says where messages are posted, and on
 * which all answers come. The connection is that stream: it ends with it.
 */
export class SseTransport implements Transport {
  readonly pid = 0;
  readonly #events: TransportEvents;
  readonly #onOpen: () => void;
  readonly #log: Log;
  readonly #dataMaxBytes: number;
  readonly #url: URL;
  readonly #endpoint: HttpEndpoint;
  readonly #stream: Exchange;
  readonly #posts = new Map<Outgoing, HttpPost>();
  /** What waits for the place to post to, or for the server to take `initialized`; undefined when nothing has to. */
  #held: Outgoing[] | undefined = [];
  readonly #opening: NodeJS.Timeout;
  #opened = false;
  #over = false;

  /** `onOpen`: the server has said where to post. */
  constructor(options: RemoteOptions & { readonly onOpen?: () => void }) {
    const { url, headers, connectMs = CONNECT_MS, silenceMs } = options;
    this.#events = options.events;
    this.#onOpen = options.onOpen ?? (() => undefined);
    this.#log = options.log;
    this.#dataMaxBytes = options.lineMaxBytes;
    this.#url = new URL(url);
    this.#endpoint = openEndpoint({ url, headers, connectMs, silenceMs });
    const late = () => this.#finish(`did not open its event stream within ${connectMs} ms`);
    this.#opening = setTimeout(late, connectMs);
    this.#stream = this.#endpoint.get({
      onResponse: (response) => this.#read(response),
      onFailure: (reason) => this.#finish(reason),
    });
  }

  send(message: Outgoing): void {
    if (this.#over) return;
    if (this.#held === undefined) this.#post(message);
    else this.#held.push(message);
  }

  abort(id: number): void {
    const isIt = ({ frame }: Outgoing) => frame.kind === "request" && frame.id === id;
    this.#held = this.#held?.filter((message) => !isIt(message));
    for (const [message, post] of this.#posts) {
      if (!isIt(message)) continue;
      post.abort();
      this.#posts.delete(message);
    }
  }

  tail(): string {
    return "";
  }

  listen(): void {}

  end(): Promise<void> {
    this.#finish("was closed");
    return Promise.resolve();
  }

  #read(response: IncomingMessage): void {
    const { statusCode: status, headers } = response;
    if (status !== 200 || !headers["content-type"]?.startsWith("text/event-stream")) {
      return readBody(response, this.#dataMaxBytes, (body) => {
        const reason = status === 200 ? "answered with no event stream" : refusalReason(response, body ?? "");
        this.#finish(this.#endpoint.redact(reason));
      });
    }
    return readEvents(response, this.#dataMaxBytes, {
      onEvent: (name, data) => {
        if (this.#over || data === "") return;
        if (!this.#opened) this.#open(name, data);
        else if (name === "message") this.#events.onMessage(oneLine(data), undefined);
      },
      onTooLarge: () => this.#finish(`sent an event of more than ${this.#dataMaxBytes} bytes`),
      onEnd: () => this.#finish("closed its event stream"),
    });
  }

  /** Only the same origin: nobody else gets messages and configured headers. */
  #open(name: string, place: string): void {
    if (name !== "endpoint") return this.#finish("did not begin its event stream with where to post");
    const target = URL.canParse(place, this.#url.href) ? new URL(place, this.#url) : undefined;
    if (target?.origin !== this.#url.origin) return this.#finish("wants messages to be posted to another origin");
    clearTimeout(this.#opening);
    this.#opened = true;
    this.#endpoint.pointTo(target);
    this.#onOpen();
    this.#release();
  }

  #release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const message of held) this.send(message);
  }

  #post(message: Outgoing): void {
    const { frame } = message;
    if (isInitialized(message)) this.#held = [];
    const post = new HttpPost({
      endpoint: this.#endpoint,
      message,
      dataMaxBytes: this.#dataMaxBytes,
      answeredElsewhere: true,
      onMessage: (text) => this.#events.onMessage(text, undefined),
      onEnd: (end) => {
        this.#posts.delete(message);
        if (isInitialized(message)) this.#release();
        if (end === "done") return;
        const { reason, ...info } = end === "expired" ? { reason: SESSION_GONE, notDelivered: true, status: 404 } : end;
        if (frame.kind === "request") this.#events.onLost(frame.id, reason, info);
        else this.#log.debug({ reason }, "the server has not taken a notification or response");
        if (info.status === 404) this.#finish(SESSION_GONE);
      },
    });
    this.#posts.set(message, post);
  }

  #finish(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#opening);
    this.#stream.abort();
    for (const post of this.#posts.values()) post.abort();
    this.#endpoint.close();
    for (const { frame } of this.#held ?? []) {
      if (frame.kind === "request") this.#events.onLost(frame.id, reason, { notDelivered: true });
    }
    this.#held = [];
    this.#events.onEnd(reason);
  }
}
