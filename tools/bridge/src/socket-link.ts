import type { Agent } from "node:http";
import { WebSocket } from "ws";
import { passOn, type Take } from "./delivery.ts";
import { answerBytesMax } from "./exchange.ts";
import { isAnswerTo, metaOf, requestsOf } from "./frame.ts";
import { identityHeaders, connectMsMax, openAgent } from "./gateway.ts";
import type { LinkOptions } from "./http-link.ts";
import { SendError, SilenceError } from "./link-error.ts";
import { brokenOff, done, type Exchange, type Link, type Outcome } from "./link.ts";
import { type HttpRefusal, readRefusal, refused } from "./refusal.ts";
import { SUBSCRIPTION_ID_KEY } from "./subscription.ts";

const SUBPROTOCOL = "mcp";
const normalClosure = 1000;

/** One frame on the socket and what is known of its answer. */
interface Pending {
  readonly exchange: Exchange;
  readonly awaited: Set<Exchange["frame"]>;
  delivered: boolean;
  /** Counts from the last sign of the request's life. */
  silence: NodeJS.Timeout | undefined;
  readonly end: (error?: unknown) => void;
}

/** The handshake got an HTTP response instead of a socket. */
class HandshakeRefusal extends Error {
  readonly refusal: HttpRefusal;

  constructor(refusal: HttpRefusal) {
    super("the gateway does not switch to WebSocket");
    this.refusal = refusal;
  }
}

/**
 * A WebSocket on which each message is a frame. A legacy session lives as long as its connection: after a new one has been
 * made, frames of the session are `expired` until it has been opened again there.
 */
class SocketLink implements Link {
  readonly url: URL;
  readonly cancelsByClosing = false;
  readonly #options: LinkOptions;
  readonly #agent: Agent;
  readonly #pending = new Set<Pending>();
  #socket: WebSocket | undefined;
  #connecting: Promise<WebSocket> | undefined;
  /** The connection on which a session has been opened. */
  #home: WebSocket | undefined;

  constructor(options: LinkOptions, agent: Agent) {
    this.url = options.url;
    this.#options = options;
    this.#agent = agent;
  }

  async exchange(exchange: Exchange): Promise<Outcome> {
    const { frame, signal } = exchange;
    let delivered = (): boolean => false;
    try {
      const socket = await this.#connect();
      signal.throwIfAborted();
      if (exchange.inSession && socket !== this.#home)
        return {
          kind: "expired",
          failure: { code: "unavailable", message: "the session went with its connection", retryable: true },
        };
      if (frame.method === "initialize") this.#home = socket;
      await new Promise<void>((resolve, reject) => {
        const pending = this.#await(exchange, (error) => (error === undefined ? resolve() : reject(error)));
        delivered = () => pending.delivered;
        socket.send(frame.bytes, { binary: false }, (error) => {
          exchange.onSent?.();
          if (error || pending.awaited.size === 0) pending.end(error ?? undefined);
        });
      });
      return done;
    } catch (error) {
      if (error instanceof HandshakeRefusal) return refused(exchange, error.refusal);
      return brokenOff({ frame, url: this.url, error, delivered: delivered() });
    }
  }

  async listen({ signal }: { readonly signal: AbortSignal }): Promise<"expired" | "over"> {
    const socket = this.#socket;
    if (socket && socket === this.#home && socket.readyState === WebSocket.OPEN) {
      await new Promise<void>((resolve) => {
        socket.once("close", () => resolve());
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
    }
    return signal.aborted ? "over" : "expired";
  }

  async endSession(_headers: unknown, msMax: number): Promise<void> {
    const socket = this.#socket;
    if (!socket || socket.readyState === WebSocket.CLOSED) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, msMax);
      socket.once("close", () => {
        clearTimeout(timer);
        resolve();
      });
      socket.close(normalClosure);
    });
  }

  close(): void {
    this.#socket?.terminate();
    this.#agent.destroy();
  }

  /** The open connection, or a new one; one at a time. */
  #connect(): Promise<WebSocket> {
    if (this.#socket?.readyState === WebSocket.OPEN) return Promise.resolve(this.#socket);
    this.#connecting ??= this.#open().finally(() => (this.#connecting = undefined));
    return this.#connecting;
  }

  #open(): Promise<WebSocket> {
    const socket = new WebSocket(this.url, [SUBPROTOCOL], {
      agent: this.#agent,
      headers: identityHeaders(this.#options),
      handshakeTimeout: connectMsMax,
      maxPayload: answerBytesMax,
      perMessageDeflate: false,
    });
    this.#socket = socket;
    return new Promise((resolve, reject) => {
      socket.on("unexpected-response", (_request, head) => {
        readRefusal(this.url, head)
          .then((refusal) => reject(new HandshakeRefusal(refusal)), reject)
          .finally(() => socket.terminate());
      });
      // Once it is open, a broken connection closes too, and that is what counts.
      socket.on("error", (error) => reject(new SendError(error, false)));
      socket.on("open", () => {
        this.#watch(socket);
        resolve(socket);
      });
    });
  }

  #watch(socket: WebSocket): void {
    let isAlive = true;
    const keepalive = setInterval(() => {
      if (!isAlive) return socket.terminate();
      isAlive = false;
      socket.ping();
    }, this.#options.keepaliveMs);
    socket.on("pong", () => (isAlive = true));
    socket.on("message", (data: Buffer) => {
      isAlive = true;
      socket.pause();
      void passOn(data.toString("utf8"), { take: this.#take, write: this.#options.unasked.write }).finally(() =>
        socket.resume(),
      );
    });
    socket.on("close", (code, reason) => {
      clearInterval(keepalive);
      const error = new Error(
        `the connection was closed (${code}${reason.length > 0 ? ` ${reason.toString("utf8")}` : ""})`,
      );
      for (const pending of this.#pending) pending.end(error);
    });
  }

  #await(exchange: Exchange, onEnd: (error?: unknown) => void): Pending {
    const { frame, signal } = exchange;
    const end = (error?: unknown): void => {
      clearTimeout(pending.silence);
      signal.removeEventListener("abort", onAbort);
      if (this.#pending.delete(pending)) onEnd(error);
    };
    // Whoever has the answer may abort while taking it, and then nothing was given up.
    const onAbort = (): void => end(pending.awaited.size > 0 ? signal.reason : undefined);
    const pending: Pending = {
      exchange,
      awaited: new Set(requestsOf(frame)),
      delivered: false,
      silence: undefined,
      end,
    };
    signal.addEventListener("abort", onAbort, { once: true });
    this.#pending.add(pending);
    this.#listenFor(pending);
    return pending;
  }

  #listenFor(pending: Pending): void {
    clearTimeout(pending.silence);
    if (pending.exchange.frame.method === "subscriptions/listen") return;
    pending.silence = setTimeout(
      () => pending.end(new SilenceError("the gateway fell silent")),
      this.#options.silenceMsMax,
    );
  }

  /** Hands a message to whom it belongs: the request that it answers or is about, else to nobody in particular. */
  readonly #take: Take = (incoming) => {
    const { message } = incoming;
    if (!("method" in message)) {
      for (const pending of this.#pending) {
        const request = [...pending.awaited].find(({ id }) => isAnswerTo(message, id));
        if (!request) continue;
        pending.awaited.delete(request);
        pending.delivered = true;
        const line = pending.exchange.delivery.take({ ...incoming, request });
        if (pending.awaited.size === 0) pending.end();
        return line;
      }
      return undefined;
    }
    const owner = this.#ownerOf(message);
    if (owner === "gone") return undefined;
    if (!owner) return this.#options.unasked.take(incoming);
    owner.delivered = true;
    this.#listenFor(owner);
    return owner.exchange.delivery.take(incoming);
  };

  /** The request whose progress or subscription a message is about. */
  #ownerOf({ method, params }: Readonly<Record<string, unknown>>): Pending | "gone" | undefined {
    const subscription = metaOf(params)[SUBSCRIPTION_ID_KEY];
    if (subscription !== undefined) return this.#find(({ id }) => id === subscription) ?? "gone";
    if (method !== "notifications/progress") return undefined;
    const token = (params as { progressToken?: unknown }).progressToken;
    return this.#find((request) => token !== undefined && metaOf(request.params)["progressToken"] === token);
  }

  #find(matches: (request: Exchange["frame"]) => boolean): Pending | undefined {
    return [...this.#pending].find(({ awaited }) => [...awaited].some(matches));
  }
}

/** MCP on a WebSocket: the endpoint's URL begins with ws: or wss:. */
export async function openSocketLink(options: LinkOptions): Promise<Link> {
  return new SocketLink(options, await openAgent(options));
}
