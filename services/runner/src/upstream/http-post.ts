import type { IncomingMessage } from "node:http";
import type { Exchange } from "./http-client.ts";
import type { HttpEndpoint } from "./http-endpoint.ts";
import { isRefusal, refusalReason, saysSessionIsGone } from "./http-refusal.ts";
import { readBody, readEvents } from "./response-body.ts";
import { oneLine, relationOf, withId } from "./server-text.ts";
import type { LostInfo, Outgoing } from "./transport.ts";

/** How long a stream may stay open after the answer. */
const LINGER_MS = 1_000;
/** Attempts one after the other to take a stream up again in which nothing came. */
const RESUMES_MAX = 5;
const RESUME_WAIT_MS = 500;
const RESUME_WAIT_MIN_MS = 10;
const RESUME_WAIT_MAX_MS = 30_000;
const REDIRECTS_MAX = 3;

/** How a POST ended. `expired`: the server has refused it, since it does not know the session any more. */
export type PostEnd = "done" | "expired" | ({ readonly reason: string } & LostInfo);

export interface PostOptions {
  readonly endpoint: HttpEndpoint;
  readonly message: Outgoing;
  readonly dataMaxBytes: number;
  /** HTTP+SSE: the answer comes on another stream, to which the session belongs. */
  readonly answeredElsewhere: boolean;
  readonly onMessage: (text: string) => void;
  /** Once, unless aborted. A request that is `done` has had its answer. */
  readonly onEnd: (end: PostEnd) => void;
}

/**
 * One message on its way over Streamable HTTP. A request's life: POST, then either one body, or a stream that ends with
 * the answer; a stream that ends before is taken up again by GET where its events have ids (2025-03-26 to 2025-11-25).
 * The POST itself is sent once more only to where the server has redirected it.
 */
export class HttpPost {
  readonly #options: PostOptions;
  /** 0 for what is no request. */
  readonly #id: number;
  #exchange: Exchange | undefined;
  #over = false;
  #lastEventId: string | undefined;
  #retryMs: number | undefined;
  #resumes = 0;
  #waiting: NodeJS.Timeout | undefined;
  #redirects = 0;

  constructor(options: PostOptions) {
    this.#options = options;
    const { frame } = options.message;
    this.#id = frame.kind === "request" ? frame.id : 0;
    this.#post();
  }

  /** Closes its connection; nothing is reported any more. */
  abort(): void {
    this.#over = true;
    clearTimeout(this.#waiting);
    this.#exchange?.abort();
  }

  #post(): void {
    const { endpoint, message } = this.#options;
    const { frame } = message;
    // A subscription is silent for as long as nothing changes.
    const quiet = frame.kind === "request" && frame.method === "subscriptions/listen";
    this.#exchange = endpoint.post(message, {
      ...(quiet ? { silenceMs: 0 } : {}),
      onResponse: (response) => this.#read(response),
      onFailure: (reason, delivered) =>
        delivered ? this.#interrupted(reason) : this.#end({ reason, notDelivered: true }),
    });
  }

  #read(response: IncomingMessage): void {
    const { endpoint, message, dataMaxBytes } = this.#options;
    const status = response.statusCode ?? 0;
    const type = response.headers["content-type"] ?? "";
    const redirected = (status === 307 || status === 308) && this.#redirects < REDIRECTS_MAX;
    if (redirected && endpoint.move(response.headers.location)) {
      this.#redirects += 1;
      this.#exchange?.abort();
      return this.#post();
    }
    if (status < 200 || status >= 300) {
      return readBody(response, dataMaxBytes, (body) => this.#refused(response, body ?? ""));
    }
    const session = response.headers["mcp-session-id"];
    if (typeof session === "string" && message.frame.kind === "request" && message.frame.method === "initialize") {
      if (!endpoint.setSession(session)) return this.#lose("gave a session id that cannot be sent back");
    }
    if (this.#id === 0 || this.#options.answeredElsewhere) {
      response.resume();
      return this.#end("done");
    }
    if (response.headers["content-encoding"] !== undefined)
      return this.#lose("compressed its answer without being asked to");
    if (type.startsWith("text/event-stream")) return this.#readStream(response);
    if (type.startsWith("application/json")) return readBody(response, dataMaxBytes, (body) => this.#answered(body));
    const what = type === "" ? "without an answer" : `with ${JSON.stringify(type.slice(0, 100))} instead of JSON`;
    this.#lose(`answered HTTP ${status} ${what}`);
  }

  #answered(body: string | undefined): void {
    if (this.#over) return;
    if (body === undefined) return this.#lose(tooLarge(this.#options.dataMaxBytes));
    switch (relationOf(body, this.#id)) {
      case "answer":
        return this.#deliver(body);
      case "anonymous":
        return this.#deliver(withId(body, this.#id));
      case "garbage":
        return this.#lose("answered with what is no JSON-RPC response");
      case "foreign":
        return this.#lose("answered with the response to another request");
      case "message":
        return this.#lose("answered with a message that is no response");
    }
  }

  #readStream(response: IncomingMessage): void {
    const { dataMaxBytes } = this.#options;
    readEvents(response, dataMaxBytes, {
      onId: (id) => {
        this.#lastEventId = id === "" ? undefined : id;
        this.#resumes = 0;
      },
      onRetry: (ms) => (this.#retryMs = ms),
      onEvent: (name, data) => {
        if (this.#over || name !== "message" || data === "") return;
        const relation = relationOf(data, this.#id);
        if (relation === "answer") return this.#deliver(data);
        if (relation === "anonymous") return this.#deliver(withId(data, this.#id));
        // A response to another request has its own stream, and nobody can tell what it is doing here.
        if (relation !== "foreign") this.#options.onMessage(oneLine(data));
      },
      onTooLarge: () => this.#lose(tooLarge(dataMaxBytes)),
      onEnd: () => this.#interrupted("ended its answer"),
    });
  }

  #deliver(text: string): void {
    this.#over = true;
    this.#exchange?.finishWithin(LINGER_MS);
    this.#options.onMessage(oneLine(text));
    this.#options.onEnd("done");
  }

  #refused(response: IncomingMessage, body: string): void {
    if (this.#over) return;
    const { endpoint, answeredElsewhere } = this.#options;
    const status = response.statusCode ?? 0;
    const hasSession = endpoint.session !== "" || answeredElsewhere;
    if (hasSession && saysSessionIsGone(status, body)) return this.#end("expired");
    const relation = this.#id === 0 ? "garbage" : relationOf(body, this.#id);
    if (relation === "answer") return this.#deliver(body);
    if (relation === "anonymous") return this.#deliver(withId(body, this.#id));
    const reason = endpoint.redact(refusalReason(response, body));
    this.#end({ reason, notDelivered: isRefusal(status), status });
  }

  /** What was to come does not come on this connection any more. */
  #interrupted(reason: string): void {
    if (this.#over) return;
    if (this.#id === 0 || this.#options.message.era === "modern" || this.#lastEventId === undefined) {
      return this.#lose(`${reason} before it was complete`);
    }
    if (this.#resumes >= RESUMES_MAX) return this.#lose(`${reason}, and does not continue it`);
    const waitMs = this.#retryMs ?? RESUME_WAIT_MS * 2 ** this.#resumes;
    this.#resumes += 1;
    this.#waiting = setTimeout(
      () => this.#resume(),
      Math.min(Math.max(waitMs, RESUME_WAIT_MIN_MS), RESUME_WAIT_MAX_MS),
    );
  }

  #resume(): void {
    const { endpoint, dataMaxBytes } = this.#options;
    this.#exchange = endpoint.get({
      resume: true,
      lastEventId: this.#lastEventId,
      onFailure: (reason) => this.#interrupted(reason),
      onResponse: (response) => {
        const status = response.statusCode ?? 0;
        if (status === 200 && response.headers["content-type"]?.startsWith("text/event-stream")) {
          return this.#readStream(response);
        }
        return readBody(response, dataMaxBytes, () => {
          if (status >= 500) return this.#interrupted(`answered HTTP ${status}`);
          this.#lose(`ended its answer before it was complete, and does not continue it (HTTP ${status})`);
        });
      },
    });
  }

  /** The server has, or may have, taken the request. */
  #lose(reason: string): void {
    this.#end({ reason, notDelivered: false });
  }

  #end(end: PostEnd): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#waiting);
    if (end !== "done") this.#exchange?.abort();
    this.#options.onEnd(end);
  }
}

function tooLarge(maxBytes: number): string {
  return `answered with more than ${maxBytes} bytes`;
}
