import type { Framed } from "@tollgate/bus";
import {
  type CallEnvelope,
  type CallFallback,
  QUESTION_TIMEOUT_MS,
  type ReplyEnvelope,
  STREAM_AFTER_MS,
  streamOwner,
} from "@tollgate/contracts";
import type { AppError } from "@tollgate/errors";
import type { Share } from "@tollgate/fair-queue";
import type { RequestFrame, Sealers } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import { type Ending, errorFrame } from "../domain/outcome.ts";
import type { ResultCache } from "../domain/result-cache.ts";
import type { TimeLimit } from "../domain/tool-rules.ts";
import type { ColdStart, Pool, Went } from "../pool/pool.ts";
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
  /** The arguments and the result as client and server wrote them; undefined where there are none. */
  readonly argumentsText?: string | undefined;
  readonly resultText?: string | undefined;
}

export interface CallOptions {
  readonly runner: string;
  /** Whose turn it is where calls wait. */
  readonly share: Share;
  /** Cancelled before it came here. */
  readonly cancelled: boolean;
  /** Which delivery of its message it is, from 1: places of an earlier one are not given again. */
  readonly deliveryCount: number;
  readonly poolOf: (server: string) => Pool | undefined;
  readonly questions: Questions;
  readonly parked: ParkedCalls;
  readonly sealers: Sealers;
  readonly results: ResultCache;
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
  /** Of the server that has it, where it has one; and the Unix milliseconds at which it is over. */
  limit: TimeLimit | undefined;
  limitAt: number;
  startedAt: number | undefined;
  coldStart: ColdStart | undefined;
  /** Of its servers so far; undefined where nobody counts. */
  cpuMs: number | undefined;
  /** Of the last server that has answered, as it wrote it. */
  resultText: string | undefined;
  upstream: UpstreamCall | undefined;
  /** What is known of how it goes there. */
  went: Went | undefined;
  /** How often a server was handed it, and how often it was tried again. */
  handedOver: number;
  retries: number;
  /** How often connectors have asked their APIs for it. */
  apiRequests: number;
  /** Who answers in its server's place. */
  fallback: CallFallback | undefined;
  /** What its server wanted to ask the client, who cannot be asked that. */
  cannotAsk: string | undefined;
  /** What its client is asked, to be given up when it ends; and what was left of its times when that began. */
  givingUp: Set<(reason: string) => void> | undefined;
  leftMs: number;
  limitLeftMs: number;
  ended: boolean;
  /** Aborted when it has ended. */
  signal(): AbortSignal;
  /** A frame for the client before the last one: the answer is a stream from now on. */
  emit(text: string, asks: boolean): void;
  end(ending: Pick<Ending, "outcome" | "reason" | "errorCode">, text: string): void;
  fail(error: AppError): void;
}

export function createCallState(
  envelope: CallEnvelope,
  { frame, idText, argumentsText }: { frame: RequestFrame; idText: string; argumentsText: string | undefined },
  options: CallOptions,
  onEnded: (ended: Ended) => void,
): CallState {
  const firstPlace = (options.deliveryCount - 1) * PLACES_MAX;
  const owner = streamOwner(envelope.facts);
  let place = firstPlace;
  /** Made when somebody waits for it: for most calls nobody does. */
  let stopping: AbortController | undefined;

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
    limit: undefined,
    limitAt: Infinity,
    startedAt: undefined,
    coldStart: undefined,
    cpuMs: undefined,
    resultText: undefined,
    upstream: undefined,
    went: undefined,
    handedOver: 0,
    retries: 0,
    apiRequests: 0,
    fallback: undefined,
    cannotAsk: undefined,
    givingUp: undefined,
    leftMs: 0,
    limitLeftMs: 0,
    ended: false,
    signal: () => (stopping ??= new AbortController()).signal,
    emit(text, asks) {
      if (state.ended) return;
      options.onFrame(text, { place: (place += 1), owner, ...(asks ? { asks } : {}) });
    },
    end(ending, text) {
      if (state.ended) return;
      state.ended = true;
      stopping?.abort();
      for (const giveUp of state.givingUp ?? []) giveUp("the call has ended");
      const bound =
        state.upstream?.lease.kind === "bound" && state.fallback === undefined ? { runner: options.runner } : {};
      letGo(state);
      const marks = isStream() ? { place: place + 1, owner, ...bound } : bound;
      onEnded({
        ending: { ...courseOf(state), endedAt: now(), responseBytes: Buffer.byteLength(text), ...ending },
        text,
        marks,
        argumentsText,
        resultText: state.resultText,
      });
    },
    fail(error) {
      if (error.code === "internal")
        options.log.error({ err: error.cause ?? error }, "a call failed inside the runner");
      state.end({ outcome: "error", reason: error.message }, errorFrame(idText, error));
    },
  };
  return state;
}

/** Takes the client's time for something that it is asked; call what it returns when it is answered. */
export function askClient(state: CallState, giveUp: (reason: string) => void): () => void {
  const givingUp = (state.givingUp ??= new Set());
  const asked = Date.now();
  if (givingUp.size === 0) {
    state.leftMs = state.deadline - asked;
    state.limitLeftMs = state.limitAt - asked;
  }
  givingUp.add(giveUp);
  state.deadline = asked + QUESTION_TIMEOUT_MS;
  state.limitAt = Infinity;
  return () => {
    if (!givingUp.delete(giveUp) || givingUp.size > 0) return;
    state.deadline = Date.now() + state.leftMs;
    if (state.upstream !== undefined) state.limitAt = Date.now() + state.limitLeftMs;
  };
}

/** What its server has used of the processors for it by now. */
export function noteCpu(state: CallState): void {
  const ms = state.upstream?.takeCpuMs();
  if (ms !== undefined) state.cpuMs = (state.cpuMs ?? 0) + ms;
}

/** Its server has nothing more to do with it. */
export function letGo(state: CallState): void {
  noteCpu(state);
  state.upstream?.release(state.went);
  state.upstream = undefined;
  state.went = undefined;
  state.limitAt = Infinity;
}

/** Nothing but the request itself decides its result: what was said in earlier rounds, or a task, is one server's own. */
export function standsAlone({ envelope, frame }: CallState): boolean {
  const { params } = frame;
  return envelope.parked === undefined && params?.["requestState"] === undefined && params?.["task"] === undefined;
}

/** How it came to its end. */
function courseOf(state: CallState): Omit<Ending, "outcome" | "endedAt" | "responseBytes"> {
  const { coldStart, cpuMs, startedAt, handedOver, retries, apiRequests, fallback } = state;
  return {
    coldStart: coldStart !== undefined,
    ...(coldStart === undefined ? {} : { coldStartCalls: coldStart.calls }),
    ...(cpuMs === undefined ? {} : { cpuMs }),
    ...(startedAt === undefined ? {} : { startedAt }),
    ...(handedOver > 1 ? { attempts: handedOver } : {}),
    ...(retries > 0 ? { retries } : {}),
    ...(apiRequests > 1 ? { apiRequests } : {}),
    ...(fallback === undefined ? {} : { fallback }),
  };
}

/** Unix milliseconds with microseconds, so that short calls are billed for what they took. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
