import type { CallFacts, FallbackTool } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { parseFrame, type RequestFrame, setParam } from "@tollgate/mcp";
import { type Ending, errorFrame } from "../domain/outcome.ts";
import { backoffMs, HANDED_OVER_MAX, WAITS_MAX } from "../domain/retries.ts";
import { type CallState, letGo, standsAlone } from "./call-state.ts";
import { keptAnswer } from "./kept-results.ts";

/**
 * How a call is tried: at its own server; when that cannot answer, at those of its fallbacks, in their order; then with
 * a result that was kept. What may have run at one of them goes to no other, and not there again, unless the tool is
 * declared read-only or idempotent (invariant 3).
 */
export interface Attempts {
  /** The call's own, with the server and the tool that are to answer it now. */
  facts: CallFacts;
  /** Of that tool. */
  retrySafe: boolean;
  /** The request as it was sent last. */
  frame: RequestFrame;
  /** How often that server was handed it. */
  handedOver: number;
  /** How often it waited to be tried there again. */
  waits: number;
  /** How often that server, a modern one, has asked a legacy client for input. */
  rounds: number;
  /** Undefined while it is the call's own tool. */
  fallback: FallbackTool | undefined;
  fallbacksTried: number;
  /** Why its own server could not answer, and then the others. */
  failure: Failure | undefined;
  /** What came of it at the server that was handed it last, when nobody knows that. */
  lost: Failure | undefined;
  parking: NodeJS.Timeout | undefined;
}

export interface Failure {
  readonly outcome: Ending["outcome"];
  readonly error: AppError;
  /** A server was handed it, and may have run it. */
  readonly mayHaveRun: boolean;
}

/** Hands the call to a server, as its attempts say now. */
type HandOver = (state: CallState, attempts: Attempts) => unknown;

export function firstAttempt(state: CallState): Attempts {
  const { facts, retrySafe } = state.envelope;
  const nothingYet = { handedOver: 0, waits: 0, rounds: 0, fallback: undefined, fallbacksTried: 0 };
  const unknown = { failure: undefined, lost: undefined, parking: undefined };
  return { facts, retrySafe, frame: state.frame, ...nothingYet, ...unknown };
}

/** Tries it once more at the same server, on another connection. False when it has been tried often enough. */
export function tryAgain(
  state: CallState,
  attempts: Attempts,
  { atOnce, handOver }: { atOnce: boolean; handOver: HandOver },
): boolean {
  if (state.envelope.parked !== undefined) return false;
  if (attempts.handedOver >= HANDED_OVER_MAX || attempts.waits >= WAITS_MAX) return false;
  // Also at once it is in a later tick: the pool hears of a connection's end in this one.
  const waitMs = atOnce ? 0 : backoffMs(attempts.waits, Math.random());
  if (Date.now() + waitMs >= state.deadline) return false;
  attempts.waits += 1;
  state.retries += 1;
  letGo(state);
  setTimeout(() => {
    if (!state.ended) handOver(state, attempts);
  }, waitMs);
  return true;
}

/** Whoever has it now cannot answer it: the next one may. */
export function moveOn(state: CallState, attempts: Attempts, failure: Failure, handOver: HandOver): void {
  if (state.ended) return;
  if (failure.mayHaveRun && !attempts.retrySafe) return fail(state, failure);
  attempts.failure = attempts.failure === undefined ? failure : withNext(attempts.failure, failure.error);
  letGo(state);
  if (takeFallback(state, attempts)) return void handOver(state, attempts);
  state.fallback = undefined;
  const kept = keptAnswer(state);
  if (kept === undefined) return fail(state, attempts.failure);
  state.fallback = { cachedAt: kept.at };
  state.resultText = kept.resultText;
  state.end({ outcome: "ok" }, kept.text);
}

function fail(state: CallState, { outcome, error }: Failure): void {
  state.end({ outcome, reason: error.message }, errorFrame(state.idText, error));
}

/** The first one says what went wrong, the others why nothing helped. */
function withNext(first: Failure, { message }: AppError): Failure {
  const { code, retryable, details, message: known } = first.error;
  return { ...first, error: new AppError(code, `${known}; instead of it: ${message}`, { retryable, details }) };
}

export function hasFallback({ envelope }: CallState, { fallbacksTried }: Attempts): boolean {
  return envelope.fallbacks !== undefined && fallbacksTried < envelope.fallbacks.length;
}

/**
 * A fallback answers by itself: it learns of no client that it could ask something, which would come back with the
 * answers to the call's own server.
 */
function takeFallback(state: CallState, attempts: Attempts): boolean {
  const fallback = state.envelope.fallbacks?.[attempts.fallbacksTried];
  if (fallback === undefined || !standsAlone(state) || Date.now() >= state.deadline) return false;
  const { server, tool, retrySafe, decision } = fallback;
  const renamed = setParam(state.frame, ["name"], tool);
  const parsed = renamed.ok ? parseFrame(renamed.text) : undefined;
  if (!parsed?.ok || parsed.frame.kind !== "request") return false;
  const facts = { ...attempts.facts, server, tool };
  Object.assign(attempts, {
    facts,
    retrySafe,
    frame: parsed.frame,
    fallback,
    handedOver: 0,
    waits: 0,
    lost: undefined,
  });
  attempts.fallbacksTried += 1;
  state.fallback = { server, tool, decision };
  state.cannotAsk = undefined;
  return true;
}
