import type { Log } from "@tollgate/service";
import { type HttpEndpoint, openEndpoint } from "./http-endpoint.ts";
import { HttpPost, type PostEnd } from "./http-post.ts";
import { SESSION_GONE } from "./http-refusal.ts";
import { isInitialized, type Outgoing, type RemoteOptions, type Transport, type TransportEvents } from "./transport.ts";
import { followUnasked } from "./unasked-stream.ts";

/** How long what comes after `initialized` waits for the server to take that. */
const INITIALIZED_MAX_MS = 5_000;
/** How long the first requests wait for the server to open the stream of what it says unasked. */
const LISTEN_MAX_MS = 500;
/** How long the requests that are under way have when the session has expired: most will say so too, and can then be sent again. */
const EXPIRY_DRAIN_MS = 1_000;
const DELETE_MAX_MS = 1_000;

/**
 * Streamable HTTP, both eras: a POST for each message, whose response carries what belongs to it (MCP 2025-03-26 to
 * 2026-07-28, Transports).
 *
 * Messages are held back, since each travels on a connection of its own and may overtake another: behind
 * `notifications/initialized`, before which servers refuse what comes; behind the stream of what the server says unasked,
 * since some ask on it what they want to know for a call, and what they ask before it is open is lost; and when the
 * session has expired, until the requests under way are settled and all of them can be reported at once.
 */
export class HttpTransport implements Transport {
  readonly pid = 0;
  readonly #events: TransportEvents;
  readonly #log: Log;
  readonly #dataMaxBytes: number;
  readonly #endpoint: HttpEndpoint;
  readonly #requests = new Map<number, HttpPost>();
  readonly #others = new Set<HttpPost>();
  readonly #held: Outgoing[] = [];
  #holding: NodeJS.Timeout | undefined;
  /** Requests that were refused because the session has expired, or undefined while it has not. */
  #expired: number[] | undefined;
  #listenWanted = false;
  #stopListening: (() => void) | undefined;
  #ending: Promise<void> | undefined;
  #over = false;

  constructor(options: RemoteOptions) {
    this.#events = options.events;
    this.#log = options.log;
    this.#dataMaxBytes = options.lineMaxBytes;
    const { url, headers, connectMs, silenceMs } = options;
    this.#endpoint = openEndpoint({ url, headers, connectMs, silenceMs });
  }

  send(message: Outgoing): void {
    if (this.#ending !== undefined || this.#over) return;
    if (this.#holding !== undefined) return void this.#held.push(message);
    const { frame, era } = message;
    if (frame.kind === "request") return this.#request(frame.id, message);
    if (frame.kind === "notification" && frame.method === "notifications/cancelled" && era === "modern") {
      // Closing the response is how it is said here (2026-07-28, Streamable HTTP, Cancellation).
      return this.abort(Number(frame.params?.["requestId"]));
    }
    const initialized = isInitialized(message);
    if (initialized) this.#holding = setTimeout(() => this.#initialized(), INITIALIZED_MAX_MS);
    return this.#tell(message, initialized);
  }

  abort(id: number): void {
    const post = this.#requests.get(id);
    const held = this.#held.findIndex(({ frame }) => frame.kind === "request" && frame.id === id);
    if (held >= 0) this.#held.splice(held, 1);
    if (post === undefined) return;
    post.abort();
    this.#requests.delete(id);
    this.#settled();
  }

  tail(): string {
    return "";
  }

  listen(): void {
    this.#listenWanted = true;
    if (this.#holding === undefined) this.#listen();
  }

  end(): Promise<void> {
    this.#ending ??= this.#close();
    return this.#ending;
  }

  #request(id: number, message: Outgoing): void {
    const post = new HttpPost({
      endpoint: this.#endpoint,
      message,
      dataMaxBytes: this.#dataMaxBytes,
      answeredElsewhere: false,
      onMessage: (text) => this.#events.onMessage(text, id),
      onEnd: (end) => {
        this.#requests.delete(id);
        this.#requestEnded(id, end);
        this.#settled();
      },
    });
    this.#requests.set(id, post);
  }

  #requestEnded(id: number, end: PostEnd): void {
    if (end === "done") return;
    if (end === "expired") {
      this.#expire();
      return void this.#expired?.push(id);
    }
    const { reason, ...info } = end;
    return this.#events.onLost(id, reason, info);
  }

  /** A notification, or our response to a request of the server. */
  #tell(message: Outgoing, initialized: boolean): void {
    const post: HttpPost = new HttpPost({
      endpoint: this.#endpoint,
      message,
      dataMaxBytes: this.#dataMaxBytes,
      answeredElsewhere: false,
      onMessage: () => undefined,
      onEnd: (end) => {
        this.#others.delete(post);
        if (end === "expired") this.#expire();
        else if (end !== "done")
          this.#log.debug({ reason: end.reason }, "the server has not taken a notification or response");
        if (initialized && this.#expired === undefined) this.#initialized();
      },
    });
    this.#others.add(post);
  }

  #initialized(): void {
    clearTimeout(this.#holding);
    if (!this.#listenWanted) return this.#release();
    this.#holding = setTimeout(() => this.#release(), LISTEN_MAX_MS);
    this.#listen();
  }

  #release(): void {
    clearTimeout(this.#holding);
    this.#holding = undefined;
    for (const message of this.#held.splice(0)) this.send(message);
  }

  #listen(): void {
    if (this.#stopListening !== undefined || this.#ending !== undefined || this.#over) return;
    this.#stopListening = followUnasked({
      endpoint: this.#endpoint,
      dataMaxBytes: this.#dataMaxBytes,
      log: this.#log,
      onMessage: (text) => this.#events.onMessage(text, undefined),
      onSettled: () => {
        if (this.#expired === undefined && this.#holding !== undefined) this.#release();
      },
      onExpired: () => {
        this.#expire();
        this.#settled();
      },
    });
  }

  #expire(): void {
    if (this.#expired !== undefined || this.#ending !== undefined) return;
    this.#expired = [];
    clearTimeout(this.#holding);
    this.#holding = setTimeout(() => this.#finishExpiry(), EXPIRY_DRAIN_MS);
  }

  #settled(): void {
    if (this.#expired !== undefined && this.#requests.size === 0) this.#finishExpiry();
  }

  #finishExpiry(): void {
    if (this.#over) return;
    const held = this.#held.splice(0).flatMap(({ frame }) => (frame.kind === "request" ? [frame.id] : []));
    for (const id of [...(this.#expired ?? []), ...held]) {
      this.#events.onLost(id, SESSION_GONE, { notDelivered: true, status: 404 });
    }
    this.#finish(SESSION_GONE);
  }

  /** A server is told that its session is not needed any more, but not waited for long. */
  async #close(): Promise<void> {
    this.#silence();
    if (this.#endpoint.session !== "" && this.#expired === undefined && !this.#over) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, DELETE_MAX_MS);
        const done = () => (clearTimeout(timer), resolve());
        this.#endpoint.delete({ onResponse: done, onFailure: done });
      });
    }
    this.#finish("was closed");
  }

  #finish(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#silence();
    this.#endpoint.close();
    this.#events.onEnd(reason);
  }

  #silence(): void {
    clearTimeout(this.#holding);
    this.#stopListening?.();
    for (const post of [...this.#requests.values(), ...this.#others]) post.abort();
    this.#requests.clear();
    this.#others.clear();
  }
}
