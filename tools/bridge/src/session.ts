import type { OutgoingHttpHeaders } from "node:http";
import type { Incoming } from "./delivery.ts";
import { type Frame, frameOf, nameOf } from "./frame.ts";
import type { Outcome } from "./link.ts";
import type { Log } from "./log.ts";
import { failure, type Failure, isObject } from "./rpc-error.ts";

/** As many subscriptions as are made again in a new session. */
const subscriptionsMax = 1_024;
const batchRevision = "2025-03-26";

export interface SessionOptions {
  /** Carries one frame for the session itself; the answer is not for the client. */
  readonly carry: (frame: Frame, onAnswer: (incoming: Incoming) => void) => Promise<Outcome>;
  /** Called when a session stands, the client's own or a new one in its place. */
  readonly onStanding: () => void;
  readonly log: Log;
}

const initializedNotice = frameOf('{"jsonrpc":"2.0","method":"notifications/initialized"}');

/**
 * The legacy session (2025-11-25 and earlier) of the one client on stdio.
 *
 *   none ── initialize answered ──▶ open ── 404 ──▶ renewing ── initialize + initialized ──▶ open (next generation)
 *                                                      └── refused ──▶ open (as it was: the next request tries again)
 *
 * A frame waits at the gate that stood when it came: behind an `initialize`, a `notifications/initialized` or a renewal
 * under way. So nothing overtakes them, although every frame is a POST of its own. A new session is given the log level
 * and the subscriptions of the one before it.
 */
export class LegacySession {
  readonly #options: SessionOptions;
  /** What the client has asked for and the gateway has granted: a new session has to be told again. */
  #logLevel: Frame | undefined;
  readonly #subscriptions = new Map<unknown, Frame>();
  #id: string | undefined;
  #version: string | undefined;
  #initialize: Frame | undefined;
  #generation = 0;
  #gate: Promise<unknown> = Promise.resolve();
  #renewal: Promise<Failure | undefined> | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  get gate(): Promise<unknown> {
    return this.#gate;
  }

  /** Counts the sessions there have been, so that of many requests that met an expired one only the first renews it. */
  get generation(): number {
    return this.#generation;
  }

  get isOpen(): boolean {
    return this.#generation > 0;
  }

  get hasBatches(): boolean {
    return this.#version === batchRevision;
  }

  /** Lets nothing that comes from now on pass before `passed` has settled, which never rejects. */
  hold(passed: Promise<unknown>): void {
    this.#gate = passed;
  }

  /** `initialize` itself belongs to no session yet. */
  headers(frame?: Frame): OutgoingHttpHeaders {
    if (frame?.method === "initialize") return {};
    return {
      ...(this.#id !== undefined && { "mcp-session-id": this.#id }),
      ...(this.#version !== undefined && { "mcp-protocol-version": this.#version }),
    };
  }

  /** Takes over what an answer establishes in the session. */
  note({ request, message, sessionId }: Incoming): void {
    const result = message["result"];
    if (!request || request.protocolVersion !== undefined || !isObject(result)) return;
    const { uri } = request.params;
    if (request.method === "initialize") this.#open(request, result, sessionId);
    else if (request.method === "logging/setLevel") this.#logLevel = request;
    else if (request.method === "resources/unsubscribe") this.#subscriptions.delete(uri);
    else if (request.method === "resources/subscribe" && this.#subscriptions.size < subscriptionsMax)
      this.#subscriptions.set(uri, request);
  }

  /** Opens a new session in place of the expired one of `generation`. Returns why it could not, if so. */
  renew(generation: number): Promise<Failure | undefined> {
    if (this.#renewal) return this.#renewal;
    if (generation !== this.#generation) return Promise.resolve(undefined);
    this.#renewal = this.#reopen().finally(() => (this.#renewal = undefined));
    this.hold(this.#renewal);
    return this.#renewal;
  }

  #open(initialize: Frame, result: Record<string, unknown>, sessionId: string | undefined): void {
    const version = result["protocolVersion"];
    if (initialize !== this.#initialize) {
      // The client itself begins anew, and with nothing asked for.
      this.#logLevel = undefined;
      this.#subscriptions.clear();
    }
    this.#id = sessionId;
    this.#version = typeof version === "string" ? version : undefined;
    this.#initialize = initialize;
    this.#generation++;
  }

  async #reopen(): Promise<Failure | undefined> {
    const { carry, onStanding, log } = this.#options;
    const initialize = this.#initialize;
    if (!initialize) return failure("unavailable", "the session has expired; start a new one", true);
    log.info("the session has expired; opening a new one");
    const before = this.#generation;
    const opened = await carry(initialize, (incoming) => this.note(incoming));
    if (opened.kind !== "done") return opened.failure;
    if (this.#generation === before)
      return failure("unavailable", "the session has expired and the gateway opened no new one", true);
    const noticed = await carry(initializedNotice, () => {});
    if (noticed.kind !== "done") return noticed.failure;
    onStanding();
    for (const frame of [...(this.#logLevel ? [this.#logLevel] : []), ...this.#subscriptions.values()]) {
      const restored = await carry(frame, ({ message }) => {
        if ("error" in message) log.warn(`${nameOf(frame)} was refused in the new session`);
      });
      if (restored.kind !== "done") log.warn(`${nameOf(frame)} in the new session: ${restored.failure.message}`);
    }
    return undefined;
  }
}
