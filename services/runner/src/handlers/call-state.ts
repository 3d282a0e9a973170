import type { Framed } from "@tollgate/bus";
import {
  type CallEnvelope,
  QUESTION_TIMEOUT_MS,
  type ReplyEnvelope,
  STREAM_AFTER_MS,
  streamOwner,
} from "@tollgate/contracts";
import type { AppError } from "@tollgate/errors";
import type { RequestFrame, Sealers } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import { type Ending, errorFrame } from "../domain/outcome.ts";
import type { Pool } from "../pool/pool.ts";
import type { ParkedCalls } from "./parked-calls.ts";
import type { Questions } from "./questions.ts";
import type { UpstreamCall } from "./upstream-call.ts";

export type Call = Framed<CallEnvelope>;

/** What a reply says of its frame beside the call's id and whether it is the last. */
export type ReplyMarks = Omit<ReplyEnvelope, "id" | "final">;

/** How a call ended, and the frame that its client gets. */
export interface Ended {
  readonly ending: Ending;
  readonly text: string;
  readonly marks: ReplyMarks;
}

export interface CallOptions {
  readonly runner: string;
  /** Cancelled before it came here. */
  readonly cancelled: boolean;
  /** Which delivery of its message it is, from 1: places of an earlier one are not given again. */
  readonly deliveryCount: number;
  readonly poolOf: (server: string) => Pool | undefined;
  readonly questions: Questions;
  readonly parked: ParkedCalls;
  readonly sealers: Sealers;
  readonly onFrame: (text: string, marks: ReplyMarks) => void;
  readonly log: Log;
}

/** Of one delivery. A second runner goes on where the first can never have been. */
const PLACES_MAX = 1_000_000;

/** What is said of the answer to a call that was delivered before, and may have a stream already. */
export function marksAfterLoss({ facts }: CallEnvelope, deliveryCount: number): ReplyMarks {
  return { place: (deliveryCount - 1) * PLACES_MAX + 1, owner: streamOwner(facts) };
}

/**
 * One call in this runner's hands: received → handed to a server → ended, once, in whatever way comes first. While its
 * client is asked something it has the time that people take; afterwards what it had left before.
 */
export interface CallState {
  readonly envelope: CallEnvelope;
  readonly frame: RequestFrame;
  readonly idText: string;
  readonly options: CallOptions;
  /** Unix milliseconds. */
  deadline: number;
  startedAt: number | undefined;
  coldStart: boolean;
  upstream: UpstreamCall | undefined;
  /** What its server wanted to ask the client, who cannot be asked that. */
  cannotAsk: string | undefined;
  /** What is waited for on the call's behalf, and is to be given up when it ends. */
  givingUp: Set<(reason: string) => void> | undefined;
  ended: boolean;
  /** A frame for the client before the last one: the answer is a stream from now on. */
  emit(text: string, asks: boolean): void;
  /** Takes the client's time for something that it is asked; call what it returns when it is answered. */
  askClient(giveUp: (reason: string) => void): () => void;
  end(ending: Pick<Ending, "outcome" | "reason" | "errorCode">, text: string): void;
  fail(error: AppError): void;
}

export function createCallState(
  envelope: CallEnvelope,
  { frame, idText }: { frame: RequestFrame; idText: string },
  options: CallOptions,
  onEnded: (ended: Ended) => void,
): CallState {
  const firstPlace = (options.deliveryCount - 1) * PLACES_MAX;
  const owner = streamOwner(envelope.facts);
  let place = firstPlace;
  let leftMs = 0;

  /** Only what is kept on a stream can be asked for again by a client that has lost its connection. */
  function isStream(): boolean {
    const { session, acceptedAt } = envelope.facts;
    if (place > 0 || envelope.stream === true) return true;
    return session !== undefined && Date.now() - acceptedAt > STREAM_AFTER_MS;
  }

  const state: CallState = {
    envelope,
    frame,
    idText,
    options,
    deadline: envelope.deadline,
    startedAt: undefined,
    coldStart: false,
    upstream: undefined,
    cannotAsk: undefined,
    givingUp: undefined,
    ended: false,
    emit(text, asks) {
      if (state.ended) return;
      options.onFrame(text, { place: (place += 1), owner, ...(asks ? { asks } : {}) });
    },
    askClient(giveUp) {
      const givingUp = (state.givingUp ??= new Set());
      if (givingUp.size === 0) leftMs = state.deadline - Date.now();
      givingUp.add(giveUp);
      state.deadline = Date.now() + QUESTION_TIMEOUT_MS;
      return () => {
        if (givingUp.delete(giveUp) && givingUp.size === 0) state.deadline = Date.now() + leftMs;
      };
    },
    end(ending, text) {
      if (state.ended) return;
      state.ended = true;
      for (const giveUp of state.givingUp ?? []) giveUp("the call has ended");
      const { startedAt, coldStart, upstream } = state;
      upstream?.release();
      const started = startedAt === undefined ? {} : { startedAt };
      const responseBytes = Buffer.byteLength(text);
      const bound = upstream?.lease.kind === "bound" ? { runner: options.runner } : {};
      const marks = isStream() ? { place: place + 1, owner, ...bound } : bound;
      onEnded({ ending: { endedAt: now(), responseBytes, coldStart, ...started, ...ending }, text, marks });
    },
    fail(error) {
      if (error.code === "internal")
        options.log.error({ err: error.cause ?? error }, "a call failed inside the runner");
      state.end({ outcome: "error", reason: error.message }, errorFrame(idText, error));
    },
  };
  return state;
}

/** Unix milliseconds with microseconds, so that short calls are billed for what they took. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
