import type { OutgoingHttpHeaders } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Delivery, Incoming, Take } from "./delivery.ts";
import { callsTool, type Frame, nameOf, parseLine, rawId, requestsOf } from "./frame.ts";
import { type Flight, Flights } from "./flights.ts";
import { modernHeaders } from "./headers.ts";
import type { Link, Outcome } from "./link.ts";
import type { Log } from "./log.ts";
import type { Output } from "./output.ts";
import { ProgressTokens } from "./progress-tokens.ts";
import { retryWaitMs } from "./retry.ts";
import { errorLine, failure, type Failure } from "./rpc-error.ts";
import { LegacySession } from "./session.ts";
import { ACKNOWLEDGED, endOfSubscription, LISTEN, missedNews } from "./subscription.ts";
import { HEADER_MISMATCH, ToolHeaders } from "./tool-headers.ts";
import type { ToolsCache } from "./tools-cache.ts";

export interface RelayOptions {
  readonly openLink: (unasked: Delivery) => Promise<Link>;
  readonly output: Output;
  readonly log: Log;
  readonly retryAttempts: number;
  readonly retryBase: number;
  readonly toolsCache: ToolsCache | undefined;
}

type Failed = Exclude<Outcome, { kind: "done" }>;

/** Opens the way to the gateway and returns what uses it. */
export async function openRelay(options: RelayOptions): Promise<Relay> {
  let take: Take = () => undefined;
  const link = await options.openLink({ write: options.output.write, take: (incoming) => take(incoming) });
  const relay = new Relay(link, options);
  take = (incoming) => relay.takeUnasked(incoming);
  return relay;
}

/** Carries frames between the client's stdio and the gateway. Every request gets exactly one answer, whatever happens. */
class Relay {
  readonly #link: Link;
  readonly #options: RelayOptions;
  readonly #session: LegacySession;
  readonly #flights = new Flights();
  readonly #progress = new ProgressTokens();
  readonly #toolHeaders = new ToolHeaders();
  #listening = new AbortController();

  constructor(link: Link, options: RelayOptions) {
    this.#link = link;
    this.#options = options;
    this.#session = new LegacySession({
      carry: (frame, onAnswer) => this.#carryForBridge(frame, this.#session.headers(frame), onAnswer),
      onStanding: () => void this.#listen(),
      log: options.log,
    });
  }

  /** Takes one line of the client's. Returns at once. */
  accept(line: Buffer): void {
    for (const inbound of parseLine(line, { keepsBatches: this.#session.hasBatches })) {
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

  /** What the gateway sends by itself, on no request's stream. */
  takeUnasked(incoming: Incoming): string | undefined {
    if ("method" in incoming.message) return this.#progress.isLate(incoming.message) ? undefined : incoming.line;
    const target = this.#flights.awaiting(incoming.message["id"]);
    return target && this.#take(target.flight, { ...incoming, request: target.request });
  }

  /** Resolves when no answer is awaited any more, at the latest after `msMax`. */
  async drain(msMax: number): Promise<void> {
    const ending = [...this.#flights].filter(({ frame }) => frame.method !== LISTEN);
    await Promise.race([Promise.all(ending.map(({ carried }) => carried)), sleep(msMax)]);
  }

  /** Answers what is still open, closes its connections and ends the session. */
  async close(msMax: number): Promise<void> {
    this.#listening.abort();
    for (const flight of this.#flights) {
      const isUnknown = callsTool(flight.frame) && flight.posting !== undefined;
      const code = isUnknown ? "outcome_unknown" : "unavailable";
      if (flight.frame.method === LISTEN && flight.subscription.known)
        this.#settle(flight, flight.frame, endOfSubscription(flight.frame));
      this.#fail(flight, failure(code, "the bridge is stopping; the request was given up", !isUnknown));
      flight.controller.abort();
    }
    await this.#link.endSession(this.#session.headers(), msMax);
    this.#link.close();
  }

  #start(frame: Frame): void {
    const flight = this.#flights.start(frame);
    if (!flight) {
      const refusal = failure("overloaded", "too many requests are in flight; wait for some to end", true);
      for (const request of requestsOf(frame)) this.#write(errorLine(rawId(request), refusal));
      if (frame.kind !== "request") this.#options.log.warn(`too much in flight: dropped a ${nameOf(frame)}`);
      return;
    }
    for (const request of flight.awaited) this.#progress.start(request);
    const isLegacy = frame.protocolVersion === undefined;
    const gate = isLegacy && frame.method !== "initialize" ? this.#session.gate : undefined;
    if (isLegacy && (frame.method === "initialize" || frame.method === "notifications/initialized")) {
      this.#session.hold(new Promise<void>((resolve) => (flight.release = resolve)));
    }
    flight.carried = this.#carry(flight, gate);
  }

  async #carry(flight: Flight, gate: Promise<unknown> | undefined): Promise<void> {
    try {
      await gate;
      await this.#attempt(flight);
    } catch (error) {
      this.#options.log.error(`${nameOf(flight.frame)}: ${error instanceof Error ? error.stack : String(error)}`);
      this.#fail(flight, failure("internal", "the bridge failed on this request; its log has the details"));
    } finally {
      this.#flights.end(flight);
    }
  }

  async #attempt(flight: Flight): Promise<void> {
    const { frame, subscription } = flight;
    const tried = { renewal: false, toolHeaders: false };
    let attempt = 0;
    while (!flight.settled) {
      const generation = this.#session.generation;
      subscription.open = false;
      const outcome = await this.#send(flight);
      if (outcome.kind === "done" || flight.settled) return;
      // A response belongs to a question of the expired session: nobody in the new one has asked it.
      if (outcome.kind === "expired" && !tried.renewal && frame.kind !== "response") {
        tried.renewal = true;
        const refusal = await this.#session.renew(generation);
        if (refusal) return this.#fail(flight, refusal);
        continue;
      }
      if (outcome.failure.original?.code === HEADER_MISMATCH && !tried.toolHeaders) {
        tried.toolHeaders = true;
        if (await this.#relearnTools(frame)) continue;
      }
      // A subscription that stood once is made again for as long as the gateway only cannot be reached.
      const isLost = subscription.known && outcome.failure.retryable;
      const mayRetry = outcome.kind === "failed" && outcome.retry && attempt < this.#options.retryAttempts;
      if (!isLost && !mayRetry) return this.#giveUp(flight, outcome);
      attempt = subscription.open ? 1 : attempt + 1;
      await this.#waitBefore(flight, attempt, outcome);
    }
  }

  async #waitBefore({ frame, controller }: Flight, attempt: number, outcome: Failed): Promise<void> {
    const askedMs = outcome.kind === "failed" ? (outcome.retryAfterMs ?? 0) : 0;
    const waitMs = Math.max(retryWaitMs({ attempt, base: this.#options.retryBase, random: Math.random() }), askedMs);
    this.#options.log.info(
      `${nameOf(frame)}: ${outcome.failure.message}; attempt ${attempt + 1} in ${Math.round(waitMs)} ms`,
    );
    await sleep(waitMs, undefined, { signal: controller.signal }).catch(() => {});
  }

  async #send(flight: Flight): Promise<Outcome> {
    const { frame, controller } = flight;
    const isLegacy = frame.protocolVersion === undefined;
    let onSent = (): void => {};
    flight.posting = new Promise((resolve) => (onSent = resolve));
    const outcome = await this.#link.exchange({
      frame,
      headers: isLegacy
        ? this.#session.headers(frame)
        : { ...modernHeaders(frame), ...this.#toolHeaders.headers(frame) },
      inSession: isLegacy && this.#session.isOpen && frame.method !== "initialize",
      signal: controller.signal,
      onSent,
      delivery: { write: this.#options.output.write, take: (incoming) => this.#take(flight, incoming) },
    });
    onSent();
    flight.posting = undefined;
    this.#options.log.debug(`${nameOf(frame)}: ${outcome.kind}`);
    if (outcome.kind === "done" && frame.method === "notifications/initialized" && isLegacy) void this.#listen();
    return outcome;
  }

  /** What the client gets of a message that came for this flight. */
  #take(flight: Flight, incoming: Incoming): string | undefined {
    const { line, message, request } = incoming;
    if (!request) {
      if (flight.settled || this.#progress.isLate(message)) return undefined;
      return message["method"] === ACKNOWLEDGED ? this.#takeAcknowledgement(flight, incoming) : line;
    }
    this.#session.note(incoming);
    if (!flight.awaited.has(request)) return undefined;
    this.#settle(flight, request, undefined, message);
    if (request.method !== "tools/list" || !("result" in message)) return line;
    this.#options.toolsCache?.store(request, line);
    return this.#listForClient(request, line);
  }

  /** The client takes its subscription for unbroken: it is told of it once, and then only of what it may have missed. */
  #takeAcknowledgement({ frame, subscription }: Flight, { line, message }: Incoming): string | undefined {
    subscription.open = true;
    if (!subscription.known) {
      subscription.known = true;
      return line;
    }
    for (const missed of missedNews(frame, message)) this.#write(missed);
    return undefined;
  }

  #listForClient(request: Frame, line: string): string {
    if (request.protocolVersion === undefined) return line;
    return this.#toolHeaders.learn(line, (name, problem) =>
      this.#options.log.warn(`the tool ${name} is left out of the list: ${problem}`),
    );
  }

  /** Whether another look at the tools has changed the headers of this call, which the gateway refused for its headers. */
  async #relearnTools(call: Frame): Promise<boolean> {
    const before = JSON.stringify(this.#toolHeaders.headers(call));
    await this.#toolHeaders.relearn(call, async (list) => {
      let answer: string | undefined;
      await this.#carryForBridge(list, modernHeaders(list), ({ line }) => (answer = line));
      return answer;
    });
    return JSON.stringify(this.#toolHeaders.headers(call)) !== before;
  }

  /** Carries a frame of the bridge's own. One attempt is enough: if it fails, so does what it was meant for. */
  #carryForBridge(
    frame: Frame,
    headers: OutgoingHttpHeaders,
    onAnswer: (incoming: Incoming) => void,
  ): Promise<Outcome> {
    const controller = new AbortController();
    const take: Take = (incoming) => {
      if (!incoming.request) return this.takeUnasked(incoming);
      onAnswer(incoming);
      controller.abort(); // The stream is not waited for beyond the answer.
      return undefined;
    };
    return this.#link.exchange({
      frame,
      headers,
      inSession: false,
      signal: controller.signal,
      delivery: { write: this.#options.output.write, take },
    });
  }

  /** Listens to what the gateway says by itself in the session, and opens it again when that ends with it. */
  async #listen(): Promise<void> {
    this.#listening.abort();
    const { signal } = (this.#listening = new AbortController());
    const generation = this.#session.generation;
    const end = await this.#link.listen({ headers: this.#session.headers(), signal });
    if (end === "over") return;
    for (let attempt = 1; !signal.aborted; attempt++) {
      const refusal = await this.#session.renew(generation);
      if (!refusal?.retryable) return;
      this.#options.log.info(`the session was not opened again: ${refusal.message}`);
      const waitMs = retryWaitMs({ attempt, base: this.#options.retryBase, random: Math.random() });
      await sleep(waitMs, undefined, { signal }).catch(() => {});
    }
  }

  /**
   * On HTTP a modern request is cancelled by closing its response; any other by a message, which must neither wait for its
   * target nor overtake it. One that has not been sent yet is simply not sent. No answer follows a cancellation.
   */
  async #cancel(notice: Frame): Promise<void> {
    const target = this.#flights.awaiting(notice.params["requestId"]);
    if (!target) {
      if (this.#session.isOpen && notice.protocolVersion === undefined) this.#start(notice);
      return;
    }
    const { flight, request } = target;
    const { posting } = flight;
    this.#settle(flight, request);
    const isClosed = flight.frame.protocolVersion !== undefined && this.#link.cancelsByClosing;
    if (flight.settled && (isClosed || !posting)) return flight.controller.abort();
    await posting;
    this.#start(notice);
  }

  async #giveUp(flight: Flight, outcome: Failed): Promise<void> {
    const { frame } = flight;
    this.#options.log.warn(`${nameOf(frame)}: ${outcome.failure.message}`);
    const isUnreachable = outcome.kind === "failed" && outcome.failure.code === "unavailable";
    const kept =
      isUnreachable && frame.method === "tools/list" ? await this.#options.toolsCache?.find(frame) : undefined;
    const own = outcome.kind === "failed" ? outcome.line : undefined;
    const line = kept === undefined ? own : this.#listForClient(frame, kept);
    if (line !== undefined && flight.awaited.has(frame)) this.#settle(flight, frame, line);
    this.#fail(flight, outcome.failure);
  }

  /** Answers whatever of the flight has no answer yet. */
  #fail(flight: Flight, reason: Failure): void {
    for (const request of flight.awaited) this.#settle(flight, request, errorLine(rawId(request), reason));
  }

  #settle(flight: Flight, request: Frame, line?: string, answer?: Incoming["message"]): void {
    this.#flights.settle(flight, request);
    this.#progress.finish(request, answer);
    if (line !== undefined) this.#write(line);
  }

  #write(line: string): void {
    void this.#options.output.write(line);
  }
}
