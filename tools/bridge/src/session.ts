import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import type { Frame } from "./frame.ts";
import { failure, type Failure, isObject } from "./rpc-error.ts";
import type { Delivery, Outcome } from "./exchange.ts";

const nowhere = (): Promise<void> => Promise.resolve();

/** Carries one frame for the session itself; the answer is not for the client. */
export type Carry = (frame: Frame, headers: OutgoingHttpHeaders, delivery: Delivery) => Promise<Outcome>;

const initializedNotice: Frame = {
  bytes: Buffer.from('{"jsonrpc":"2.0","method":"notifications/initialized"}'),
  kind: "notification",
  id: undefined,
  method: "notifications/initialized",
  protocolVersion: undefined,
  target: undefined,
  cancels: undefined,
};

/**
 * The legacy session (2025-11-25 and earlier) of the one client on stdio.
 *
 *   none ── initialize answered ──▶ open ── 404 ──▶ renewing ── initialize + initialized ──▶ open (next generation)
 *                                                      └── refused ──▶ open (as it was: the next request tries again)
 *
 * A frame waits at the gate that stood when it came: behind an `initialize`, a `notifications/initialized` or a renewal
 * under way. So nothing overtakes them, although every frame is a POST of its own.
 */
export class LegacySession {
  #id: string | undefined;
  #version: string | undefined;
  #initialize: Frame | undefined;
  #generation = 0;
  #gate: Promise<unknown> = Promise.resolve();
  #renewal: Promise<Failure | undefined> | undefined;

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

  /** Takes over what the answer to `initialize` established. */
  open(initialize: Frame, answer: Record<string, unknown>, head: IncomingMessage): void {
    if (!isObject(answer["result"])) return;
    const id = head.headers["mcp-session-id"];
    const version = answer["result"]["protocolVersion"];
    this.#id = typeof id === "string" ? id : undefined;
    this.#version = typeof version === "string" ? version : undefined;
    this.#initialize = initialize;
    this.#generation++;
  }

  /** Opens a new session in place of the expired one of `generation`. Returns why it could not, if so. */
  renew(generation: number, carry: Carry): Promise<Failure | undefined> {
    if (this.#renewal) return this.#renewal;
    if (generation !== this.#generation) return Promise.resolve(undefined);
    this.#renewal = this.#reopen(carry).finally(() => (this.#renewal = undefined));
    this.hold(this.#renewal);
    return this.#renewal;
  }

  async #reopen(carry: Carry): Promise<Failure | undefined> {
    const initialize = this.#initialize;
    if (!initialize) return failure("unavailable", "the session has expired; start a new one", true);
    const before = this.#generation;
    const answer: Delivery["answer"] = (_line, message, head) => Promise.resolve(this.open(initialize, message, head));
    const opened = await carry(initialize, {}, { answer, message: nowhere });
    if (opened.kind !== "done") return opened.failure;
    if (this.#generation === before)
      return failure("unavailable", "the session has expired and the gateway opened no new one", true);
    const noticed = await carry(initializedNotice, this.headers(), {
      answer: nowhere,
      message: nowhere,
    });
    return noticed.kind === "done" ? undefined : noticed.failure;
  }
}
