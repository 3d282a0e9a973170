import type { OutgoingHttpHeaders } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { exchange, type Delivery, type Outcome } from "./exchange.ts";
import { type Frame, parseLine, rawId } from "./frame.ts";
import type { Gateway } from "./gateway.ts";
import { modernHeaders } from "./headers.ts";
import type { Log } from "./log.ts";
import type { Output } from "./output.ts";
import { retryWaitMs } from "./retry.ts";
import { errorLine, failure, type Failure } from "./rpc-error.ts";
import { LegacySession } from "./session.ts";
import type { ToolsCache } from "./tools-cache.ts";

const requestsInFlightMax = 256;
/** Notifications and responses have a bound of their own, so that a cancellation passes when the requests are full. */
const othersInFlightMax = 256;
const inFlightBytesMax = 64 * 1024 * 1024;
/** How long a stream may stay open after its request has been answered or cancelled. */
const lingerMsMax = 1_000;

export interface RelayOptions {
  readonly gateway: Gateway;
  readonly output: Output;
  readonly log: Log;
  readonly retryAttempts: number;
  readonly retryBase: number;
  readonly toolsCache: ToolsCache | undefined;
}

/**
 * One frame on its way. `settled` turns true once, when its answer is written or will never be (cancelled): from then on
 * nothing of it reaches the client, since a client may fail on progress for a request that it has forgotten.
 */
interface Flight {
  readonly frame: Frame;
  readonly controller: AbortController;
  settled: boolean;
  /** Set while a POST is under way; resolves when its bytes have left or it has failed. */
  posting: Promise<void> | undefined;
  linger: NodeJS.Timeout | undefined;
  /** Opens the gate that this frame holds, if it holds one. */
  release: () => void;
}

/** Carries frames between the client's stdio and the gateway. Every request gets exactly one answer, whatever happens. */
export class Relay {
  readonly #options: RelayOptions;
  readonly #session = new LegacySession();
  readonly #flights = new Set<Flight>();
  readonly #carrying = new Set<Promise<void>>();
  #bytes = 0;

  constructor(options: RelayOptions) {
    this.#options = options;
  }

  /** Takes one line of the client's. Returns at once. */
  accept(line: Buffer): void {
    for (const inbound of parseLine(line)) {
      if (!inbound.ok) this.#write(inbound.answer);
      else if (inbound.frame.method === "notifications/cancelled") void this.#cancel(inbound.frame);
      else this.#start(inbound.frame);
    }
  }

  /** Answers a line that was not read because of its length. */
  refuseLine(bytesMax: number): void {
    this.#write(
      errorLine("null", failure("payload_too_large", `a message is longer than ${bytesMax} bytes and was skipped`)),
    );
  }

  /** Resolves when nothing is in flight any more, at the latest after `msMax`. */
  async drain(msMax: number): Promise<void> {
    await Promise.race([Promise.all(this.#carrying), sleep(msMax)]);
  }

  /** Answers what is still open, closes its connections and ends the session. */
  async close(msMax: number): Promise<void> {
    for (const flight of this.#flights) {
      const unknown = flight.frame.method === "tools/call" && flight.posting !== undefined;
      const code = unknown ? "outcome_unknown" : "unavailable";
      this.#fail(flight, failure(code, "the bridge is stopping; the request was given up", !unknown));
      flight.controller.abort();
    }
    const headers = this.#session.headers();
    if (headers["mcp-session-id"] !== undefined) await this.#options.gateway.endSession(headers, msMax);
    this.#options.gateway.close();
  }

  #start(frame: Frame): void {
    const alike = [...this.#flights].filter(
      (flight) => (flight.frame.kind === "request") === (frame.kind === "request"),
    ).length;
    const full = alike >= (frame.kind === "request" ? requestsInFlightMax : othersInFlightMax);
    if (full || this.#bytes + frame.bytes.length > inFlightBytesMax) {
      if (frame.kind !== "request")
        return this.#options.log.warn(`too much in flight: dropped ${frame.method || "a response"}`);
      return this.#write(
        errorLine(rawId(frame), failure("overloaded", "too many requests are in flight; wait for some to end", true)),
      );
    }
    const flight: Flight = {
      frame,
      controller: new AbortController(),
      settled: false,
      posting: undefined,
      linger: undefined,
      release: () => {},
    };
    const isLegacy = frame.protocolVersion === undefined;
    const gate = isLegacy && frame.method !== "initialize" ? this.#session.gate : undefined;
    if (isLegacy && (frame.method === "initialize" || frame.method === "notifications/initialized")) {
      this.#session.hold(new Promise<void>((resolve) => (flight.release = resolve)));
    }
    const carried = this.#carry(flight, gate).finally(() => this.#carrying.delete(carried));
    this.#carrying.add(carried);
  }

  async #carry(flight: Flight, gate: Promise<unknown> | undefined): Promise<void> {
    this.#flights.add(flight);
    this.#bytes += flight.frame.bytes.length;
    try {
      await gate;
      await this.#attempt(flight);
    } catch (error) {
      this.#options.log.error(`${flight.frame.method}: ${error instanceof Error ? error.stack : String(error)}`);
      this.#fail(flight, failure("internal", "the bridge failed on this request; its log has the details"));
    } finally {
      clearTimeout(flight.linger);
      flight.release();
      this.#flights.delete(flight);
      this.#bytes -= flight.frame.bytes.length;
    }
  }

  async #attempt(flight: Flight): Promise<void> {
    let renewed = false;
    let attempt = 0;
    while (!flight.settled) {
      const generation = this.#session.generation;
      const outcome = await this.#post(flight);
      if (outcome.kind === "done" || flight.settled) return;
      if (outcome.kind === "expired" && !renewed) {
        renewed = true;
        const refusal = await this.#session.renew(generation, (frame, headers, delivery) =>
          this.#exchangeForSession(frame, headers, delivery),
        );
        if (refusal) return this.#fail(flight, refusal);
        continue;
      }
      if (outcome.kind === "expired" || !outcome.retry || attempt === this.#options.retryAttempts)
        return this.#giveUp(flight, outcome);
      attempt++;
      const waitMs = Math.max(
        retryWaitMs({ attempt, base: this.#options.retryBase, random: Math.random() }),
        outcome.retryAfterMs ?? 0,
      );
      this.#options.log.info(
        `${flight.frame.method}: ${outcome.failure.message}; attempt ${attempt + 1} in ${Math.round(waitMs)} ms`,
      );
      await sleep(waitMs, undefined, { signal: flight.controller.signal }).catch(() => {});
    }
  }

  async #post(flight: Flight): Promise<Outcome> {
    const { frame, controller } = flight;
    const { gateway, output, log } = this.#options;
    let onSent = (): void => {};
    flight.posting = new Promise((resolve) => (onSent = resolve));
    const outcome = await exchange({
      gateway,
      frame,
      headers: frame.protocolVersion === undefined ? this.#session.headers(frame) : modernHeaders(frame),
      signal: controller.signal,
      onSent,
      delivery: {
        message: async (line) => (flight.settled ? undefined : output.write(line)),
        answer: async (line, message, head) => {
          if (frame.method === "initialize") this.#session.open(frame, message, head);
          if (frame.method === "tools/list" && "result" in message) this.#options.toolsCache?.store(frame, line);
          if (!flight.settled) await this.#settle(flight, line);
        },
      },
    });
    onSent();
    flight.posting = undefined;
    log.debug(`${frame.method || "response"}: ${outcome.kind}`);
    return outcome;
  }

  /** One attempt is enough here: if it fails, the next request meets the expired session again. */
  #exchangeForSession(frame: Frame, headers: OutgoingHttpHeaders, delivery: Delivery): Promise<Outcome> {
    const { gateway, log } = this.#options;
    log.info(`the session has expired; sending ${frame.method} again`);
    const answer: Delivery["answer"] = async (line, message, head) => {
      await delivery.answer(line, message, head);
      head.destroy(); // The stream is not waited for beyond the answer.
    };
    return exchange({
      gateway,
      frame,
      headers,
      signal: new AbortController().signal,
      delivery: { ...delivery, answer },
    });
  }

  /**
   * On HTTP a modern request is cancelled by closing its response; a legacy one by a POST, which must neither wait for its
   * target nor overtake it. One that has not been sent yet is simply not sent. No answer follows a cancellation.
   */
  async #cancel(notice: Frame): Promise<void> {
    const isTarget = ({ frame, settled }: Flight): boolean =>
      !settled && frame.id !== undefined && frame.id === notice.cancels;
    const target = [...this.#flights].find(isTarget);
    if (!target) {
      if (this.#session.isOpen && notice.protocolVersion === undefined) this.#start(notice);
      return;
    }
    const isLegacy = target.frame.protocolVersion === undefined;
    const posting = target.posting;
    this.#settleSilently(target);
    if (!isLegacy || !posting) return target.controller.abort();
    await posting;
    this.#start(notice);
  }

  async #giveUp(flight: Flight, outcome: Exclude<Outcome, { kind: "done" }>): Promise<void> {
    const { frame } = flight;
    this.#options.log.warn(`${frame.method || "response"}: ${outcome.failure.message}`);
    if (frame.kind !== "request" || flight.settled) return;
    const unreachable = outcome.kind === "failed" && outcome.failure.code === "unavailable";
    const kept = unreachable && frame.method === "tools/list" ? await this.#options.toolsCache?.find(frame) : undefined;
    if (flight.settled) return;
    const own = outcome.kind === "failed" ? outcome.line : undefined;
    await this.#settle(flight, kept ?? own ?? errorLine(rawId(frame), outcome.failure));
  }

  #fail(flight: Flight, reason: Failure): void {
    if (flight.frame.kind !== "request" || flight.settled) return;
    void this.#settle(flight, errorLine(rawId(flight.frame), reason));
  }

  #settle(flight: Flight, line: string): Promise<void> {
    this.#settleSilently(flight);
    return this.#options.output.write(line);
  }

  #settleSilently(flight: Flight): void {
    flight.settled = true;
    flight.release();
    flight.linger = setTimeout(() => flight.controller.abort(), lingerMsMax);
  }

  #write(line: string): void {
    void this.#options.output.write(line);
  }
}
