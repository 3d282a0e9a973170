import type { OutgoingHttpHeaders } from "node:http";
import type { Delivery } from "./delivery.ts";
import { callsTool, type Frame } from "./frame.ts";
import { reasonOf, SendError, SilenceError } from "./link-error.ts";
import { failure, type Failure } from "./rpc-error.ts";

/** One frame on its way, and where goes what comes back. */
export interface Exchange {
  readonly frame: Frame;
  readonly headers: OutgoingHttpHeaders;
  /** The frame belongs to a legacy session that was opened before. */
  readonly inSession: boolean;
  readonly signal: AbortSignal;
  readonly delivery: Delivery;
  /** The whole frame has been given to the operating system. */
  readonly onSent?: () => void;
}

/** How an exchange ended. `retry`: another attempt cannot make anything happen twice. */
export type Outcome =
  | { readonly kind: "done" }
  | { readonly kind: "expired"; readonly failure: Failure }
  | {
      readonly kind: "failed";
      readonly failure: Failure;
      readonly retry: boolean;
      readonly retryAfterMs?: number;
      /** The gateway's own answer to this request: passed on, once no attempt is left, in place of `failure`. */
      readonly line?: string;
    };

export interface Listening {
  readonly headers: OutgoingHttpHeaders;
  readonly signal: AbortSignal;
}

/** The way to the gateway: Streamable HTTP, or a WebSocket. */
export interface Link {
  /** The gateway's MCP endpoint. */
  readonly url: URL;
  /** A modern request is cancelled by giving up its response; otherwise the client's own notification has to be sent. */
  readonly cancelsByClosing: boolean;
  /** Sends one frame and delivers what comes back. Never throws. */
  exchange(exchange: Exchange): Promise<Outcome>;
  /**
   * Passes on what the gateway sends in a legacy session without being asked, for as long as it does: resolves with
   * `expired` when the session has to be opened again, with `over` when there is nothing to listen to. Never throws.
   */
  listen(listening: Listening): Promise<"expired" | "over">;
  /** Ends a session; an endpoint that is gone or refuses is no failure. */
  endSession(headers: OutgoingHttpHeaders, msMax: number): Promise<void>;
  close(): void;
}

export const done: Outcome = { kind: "done" };

export function failed(reason: Failure, retry: boolean): Outcome {
  return { kind: "failed", failure: reason, retry };
}

export interface BrokenOff {
  readonly frame: Frame;
  readonly url: URL;
  readonly error: unknown;
  /** Something that came back has been passed on already. */
  readonly delivered: boolean;
}

/**
 * The rule of at most once: a request that never reached the gateway may go again; one that did, and got no answer, may
 * go again unless it calls a tool or part of its answer has been delivered.
 */
export function brokenOff({ frame, url, error, delivered }: BrokenOff): Outcome {
  const reason = reasonOf(error);
  if (error instanceof SendError && !error.connected) {
    return failed(
      failure("unavailable", `cannot reach the gateway at ${url.origin}: ${reason}; is it running?`, true),
      true,
    );
  }
  if (error instanceof RangeError)
    return failed(failure("internal", `the gateway's answer is too large: ${reason}`), false);
  if (callsTool(frame)) {
    const message = `no answer came from the gateway (${reason}); the call may or may not have run`;
    return failed(failure("outcome_unknown", message), false);
  }
  if (isSilence(error)) return failed(failure("deadline_exceeded", "the gateway did not answer in time", true), false);
  return failed(failure("unavailable", `the gateway broke off: ${reason}`, true), !delivered);
}

export function isSilence(error: unknown): boolean {
  return error instanceof SilenceError || (error instanceof SendError && error.cause instanceof SilenceError);
}
