import { type CallFacts, streamOwner } from "@tollgate/contracts";
import { AppError, toAppError } from "@tollgate/errors";
import {
  type NotificationFrame,
  parseFrame,
  progressTokenOf,
  type RequestFrame,
  type ResponseFrame,
  rewriteProgress,
  RPC,
  splice,
} from "@tollgate/mcp";
import { isAnsweredHere } from "../domain/answered-here.ts";
import { argumentsTextOf, resultTextOf } from "../domain/frame-parts.ts";
import { inputRequiredText, inputResponsesOf, isInputRequired } from "../domain/input-required.ts";
import { FALLBACK_MARK, markResult } from "../domain/marks.ts";
import { wantsLog } from "../domain/log-levels.ts";
import { classifyResponse, errorFrame, idTextOf } from "../domain/outcome.ts";
import { editsOfMessage, editsOfResponse, NO_EDITS, type Outward, passesAsItIs } from "../domain/outward.ts";
import type { ServerSpec } from "../domain/server-spec.ts";
import { timeLimitOf } from "../domain/tool-rules.ts";
import { missingCapabilityText, requestMeta, responseForClient } from "../domain/translation.ts";
import type { Caller, Lease, Pool } from "../pool/pool.ts";
import type { CallSink } from "../upstream/connection.ts";
import type { Question } from "../upstream/server-questions.ts";
import type { Answer } from "../upstream/wire.ts";
import { type Attempts, firstAttempt, hasFallback, moveOn, tryAgain } from "./attempts.ts";
import {
  askClient,
  type Call,
  type CallOptions,
  type CallState,
  createCallState,
  type Ended,
  letGo,
  noteCpu,
  now,
} from "./call-state.ts";
import { answerInputRequest } from "./input-rounds.ts";
import { keepResult } from "./kept-results.ts";
import { relayQuestion } from "./questions.ts";
import { callServer } from "./upstream-call.ts";

/** What a server asks within this time goes to a modern client in one answer. */
const GATHER_MS = 20;

export interface RunningCall {
  /** Unix milliseconds; it moves while the client is asked something. */
  deadline(): number;
  readonly ended: Promise<Ended>;
  /** The client does not want it any more. */
  cancel(): void;
  /** Its deadline has passed. */
  expire(): void;
}

export function startCall(call: Call, options: CallOptions): RunningCall {
  const { envelope } = call;
  const parsed = parseFrame(call.frame);
  const { promise, resolve } = Promise.withResolvers<Ended>();
  const isRequest = parsed.ok && parsed.frame.kind === "request";
  const idText = idTextOf(call.frame, parsed);
  const frame = (isRequest ? parsed.frame : undefined) as RequestFrame;
  const argumentsText = isRequest ? argumentsTextOf(frame) : undefined;
  const state = createCallState(envelope, { frame, idText, argumentsText }, options, resolve);
  const attempts = firstAttempt(state);
  if (!isRequest) state.fail(new AppError("internal", "the call's frame is no request"));
  else if (options.cancelled) cancel(state);
  else if (Date.now() >= state.deadline) expire(state, attempts);
  else if (envelope.parked !== undefined) goOn(state, attempts, envelope.parked);
  else void handOver(state, attempts);
  return {
    deadline: () => Math.min(state.deadline, state.limitAt),
    ended: promise,
    cancel: () => cancel(state),
    expire: () => expire(state, attempts),
  };
}

async function handOver(state: CallState, attempts: Attempts): Promise<void> {
  const { facts, frame } = attempts;
  const pool = state.options.poolOf(facts.server);
  try {
    if (!pool) throw new AppError("unavailable", `server ${facts.server} is not run here any more`);
    const lease = await pool.acquire(new PoolCaller(state, attempts));
    // It may have been cancelled, or run out of time, while it waited for a process.
    if (state.ended) return lease.release();
    noteStart(state, lease);
    state.startedAt ??= now();
    const { logLevel } = state.envelope.client;
    if (logLevel !== undefined) await lease.connection.setLogLevel(logLevel);
    const shared = lease.kind === "shared";
    if (isAnsweredHere(facts.method, { era: lease.connection.era, shared }))
      return await answerHere(state, frame, lease);
    if (state.ended) return lease.release();
    send(state, attempts, pool, lease);
  } catch (error) {
    takeRefusal(state, attempts, { error: toAppError(error), by: pool });
  }
}

/** Each call shares the price of one start: the first that it had to wait for. */
function noteStart(state: CallState, { coldStart }: Lease): void {
  if (coldStart === undefined || state.coldStart !== undefined) return;
  coldStart.calls += 1;
  state.coldStart = coldStart;
}

const isOfTask = ({ method, params }: RequestFrame) => params?.["task"] !== undefined || method.startsWith("tasks/");

/**
 * The call as its pool sees it. Its signal is made when it is asked for, which is when it has to wait; a class, since a
 * getter of an object by itself costs more than all the rest of it.
 */
class PoolCaller implements Caller {
  readonly facts: Caller["facts"];
  readonly client: Caller["client"];
  readonly apart: boolean;
  readonly share: Caller["share"];
  readonly #state: CallState;

  constructor(state: CallState, { facts, frame, fallback }: Attempts) {
    const { client } = state.envelope;
    this.facts = facts;
    this.client = fallback === undefined ? client : { ...client, capabilities: {} };
    this.apart = isOfTask(frame);
    this.share = state.options.share;
    this.#state = state;
  }

  get signal(): AbortSignal {
    return this.#state.signal();
  }
}

function send(state: CallState, attempts: Attempts, pool: Pool, lease: Lease): void {
  const { facts, frame, fallback } = attempts;
  const { client } = state.envelope;
  const { era } = lease.connection;
  const server = fallback === undefined ? pool.spec : { ...pool.spec, clientCapabilities: [] };
  const meta = requestMeta(era, { client, facts }, server);
  const paramHeaders = era === "modern" ? pool.paramHeaders(facts.tool, frame.params?.["arguments"]) : undefined;
  const extras = { ...meta, paramHeaders, call: { id: state.envelope.id, share: state.options.share } };
  state.handedOver += 1;
  attempts.handedOver += 1;
  limitTime(state, pool.spec, facts);
  state.upstream = callServer(lease, frame, sinkOf(state, attempts), extras);
}

function limitTime(state: CallState, spec: ServerSpec, facts: CallFacts): void {
  state.limit = timeLimitOf(spec, facts);
  state.limitAt = state.limit === undefined ? Infinity : Date.now() + state.limit.ms;
}

async function answerHere(state: CallState, frame: RequestFrame, lease: Lease): Promise<void> {
  const level = frame.params?.["level"];
  if (frame.method === "logging/setLevel" && typeof level === "string") await lease.connection.setLogLevel(level);
  lease.release();
  state.end({ outcome: "ok" }, `{"jsonrpc":"2.0","id":${state.idText},"result":{}}`);
}

function sinkOf(state: CallState, attempts: Attempts): CallSink {
  return {
    owner: streamOwner(state.envelope.facts),
    onAnswer: (answer) => takeAnswer(state, attempts, answer),
    onNotice: (frame) => takeNotice(state, attempts, frame),
    onQuestion: (question) => takeQuestion(state, attempts, question),
    onApiRequest: () => {
      state.apiRequests += 1;
    },
    onCannotAsk: (method) => {
      state.cannotAsk = method;
    },
  };
}

function takeAnswer(state: CallState, attempts: Attempts, answer: Answer): void {
  if (answer.kind === "lost") return lose(state, attempts, answer);
  const { frame } = answer;
  const { client, prefixed } = state.envelope;
  const { facts, fallback } = attempts;
  const { era } = state.upstream!.lease.connection;
  state.went = "well";
  if (fallback !== undefined && isInputRequired(frame.result)) return refuseInput(state, attempts);
  if (era === "modern" && client.era === "legacy" && isInputRequired(frame.result))
    return startRound(state, attempts, frame);
  const ending = classifyResponse(frame);
  if (state.cannotAsk !== undefined && ending.outcome !== "ok" && era === "legacy" && client.era === "modern") {
    const errorCode = RPC.missingClientCapability;
    const reason = `the server could not go on without asking the client for ${state.cannotAsk}`;
    return state.end({ outcome: "error", reason, errorCode }, missingCapabilityText(state.idText, state.cannotAsk));
  }
  const text = responseForClient(frame, {
    idText: state.idText,
    method: facts.method,
    from: era,
    to: client.era,
    edits: passesAsItIs(frame, prefixed) ? NO_EDITS : editsOfResponse(frame, outwardOf(state, attempts)),
  });
  state.resultText = resultTextOf(frame);
  if (fallback !== undefined) return state.end(ending, markFallback(text, attempts));
  if (ending.outcome === "ok") keepResult(state, frame, era);
  state.end(ending, text);
}

function markFallback(text: string, { facts: { server, tool }, failure }: Attempts): string {
  return markResult(text, FALLBACK_MARK, { server, tool, reason: failure!.error.message });
}

function refuseInput(state: CallState, attempts: Attempts): void {
  const message = `server ${attempts.facts.server} wants to know something of the client, which a fallback cannot ask`;
  const error = new AppError("failed_precondition", message);
  moveOn(state, attempts, { outcome: "error", error, mayHaveRun: true }, handOver);
}

/** What a modern server wants to know a legacy client is asked; then the request is made once more. */
function startRound(state: CallState, attempts: Attempts, frame: ResponseFrame): void {
  letGo(state);
  answerInputRequest(state, frame, (attempts.rounds += 1)).then(
    (retry) => {
      attempts.frame = retry;
      attempts.handedOver = 0;
      if (!state.ended) void handOver(state, attempts);
    },
    (error: unknown) => state.fail(toAppError(error)),
  );
}

function takeNotice(state: CallState, attempts: Attempts, frame: NotificationFrame): void {
  if (frame.method === "notifications/progress") {
    const token = progressTokenOf(state.frame);
    const text = token === undefined ? undefined : rewriteProgress(frame, token);
    if (text !== undefined) state.emit(text, false);
    return;
  }
  if (frame.method === "notifications/message" && !wantsLog(state.envelope.client, frame.params?.["level"])) return;
  state.emit(splice(frame.text, editsOfMessage(frame, outwardOf(state, attempts))), false);
}

/** Tasks live in the process or on the connection that made them; a modern remote server knows them everywhere. */
function outwardOf({ envelope, options, upstream }: CallState, { facts }: Attempts): Outward {
  const { prefixed } = envelope;
  const { kind, connection } = upstream!.lease;
  const elsewhere = connection.pid === 0 && connection.era === "modern";
  const session = kind === "bound" && facts.session !== undefined ? { session: facts.session } : {};
  const home = elsewhere ? {} : { runner: options.runner, ...session };
  return { facts, prefixed, sealers: options.sealers, home, now: Date.now() };
}

function takeQuestion(state: CallState, attempts: Attempts, question: Question): void {
  const { facts, client } = state.envelope;
  const { session } = facts;
  if (client.era === "modern" || session === undefined) {
    if (state.upstream!.keep(question)) attempts.parking ??= setTimeout(() => park(state, attempts), GATHER_MS);
    return;
  }
  let settled: () => void = () => undefined;
  const giveUp = relayQuestion(state.options.questions, question, {
    session,
    send: (text, asks) => state.emit(text, asks),
    onSettled: () => settled(),
  });
  // What another call may be waiting for outlives this one.
  if (giveUp) settled = askClient(state, (reason) => void (question.mayBeOfAnother() || giveUp(reason)));
}

/** The client learns what is wanted from it and comes back with that in another call, which goes on with the request. */
function park(state: CallState, attempts: Attempts): void {
  attempts.parking = undefined;
  const { upstream, options, envelope, idText } = state;
  // It has ended, or its server has taken back all that it wanted to know.
  const requests = upstream?.waiting() ?? [];
  if (state.ended || !upstream || requests.length === 0) return;
  try {
    const requestState = options.parked.hold(upstream, envelope.facts);
    noteCpu(state);
    state.upstream = undefined;
    state.end({ outcome: "ok" }, inputRequiredText(idText, requests, requestState));
  } catch (error) {
    upstream.cancel("too many calls wait");
    state.fail(toAppError(error));
  }
}

/** With the answers to what a parked call's server wanted to know. */
function goOn(state: CallState, attempts: Attempts, parkedId: string): void {
  const upstream = state.options.parked.take(parkedId, state.envelope.facts);
  if (!upstream) {
    const message = "the server does not wait for this any more; make the request again from the beginning";
    return state.fail(new AppError("failed_precondition", message));
  }
  state.upstream = upstream;
  state.startedAt = now();
  const spec = state.options.poolOf(attempts.facts.server)?.spec;
  if (spec !== undefined) limitTime(state, spec, attempts.facts);
  const keys = upstream.waiting().map(({ key }) => key);
  for (const [key, result] of inputResponsesOf(state.frame, keys)) upstream.answer(key, result);
  upstream.handTo(sinkOf(state, attempts));
  if (upstream.waiting().length > 0) attempts.parking ??= setTimeout(() => park(state, attempts), GATHER_MS);
}

/** It was handed to no server. */
function takeRefusal(
  state: CallState,
  attempts: Attempts,
  { error, by }: { error: AppError; by: Pool | undefined },
): void {
  if (state.ended) return;
  if (error.code !== "unavailable" && error.code !== "overloaded") return state.fail(error);
  // The server was changed while the call waited for it: the pool of what it is now is another.
  const replaced = by !== state.options.poolOf(attempts.facts.server);
  // Whoever has seen its process die may find it back in a moment; who has another server to go to does not wait.
  const mayBeBack = attempts.handedOver > 0 && !hasFallback(state, attempts);
  if ((replaced || mayBeBack) && tryAgain(state, attempts, { atOnce: replaced, handOver })) return;
  moveOn(state, attempts, attempts.lost ?? { outcome: "error", error, mayHaveRun: false }, handOver);
}

/** What may run again, or has not run, is sent again; of the rest nobody knows whether it ran. */
function lose(state: CallState, attempts: Attempts, { reason, notDelivered }: Answer & { kind: "lost" }): void {
  const { server } = attempts.facts;
  state.went = "badly";
  if (!notDelivered) {
    const message = `server ${server} ${reason} while it worked on the call; it may have run`;
    const error = new AppError("outcome_unknown", message, { details: { callId: state.envelope.id } });
    attempts.lost = { outcome: "unknown", error, mayHaveRun: true };
  }
  const atOnce = notDelivered && attempts.handedOver === 1;
  if ((notDelivered || attempts.retrySafe) && tryAgain(state, attempts, { atOnce, handOver })) return;
  const error = new AppError("unavailable", `server ${server} ${reason}`);
  moveOn(state, attempts, attempts.lost ?? { outcome: "error", error, mayHaveRun: false }, handOver);
}

function cancel(state: CallState): void {
  state.upstream?.cancel("cancelled by the client");
  const error = new AppError("cancelled", "the call was cancelled");
  state.end({ outcome: "cancelled", reason: error.message }, errorFrame(state.idText, error));
}

/** Its deadline, or before that its server's time for it, has passed. */
function expire(state: CallState, attempts: Attempts): void {
  const { upstream, startedAt, limit } = state;
  const { server } = attempts.facts;
  const limited = limit !== undefined && Date.now() < state.deadline;
  const where = startedAt !== undefined ? `server ${server} did not answer` : "no process was free";
  const message = limited
    ? `server ${server} did not answer within ${limit.ms / 1_000} s, its ${limit.setting}`
    : `${where} before the call's deadline`;
  if (upstream) state.went = "badly";
  upstream?.cancel(limited ? "the server's time for the call is over" : "the call's deadline passed");
  const error = new AppError("deadline_exceeded", message);
  moveOn(state, attempts, { outcome: "timeout", error, mayHaveRun: upstream !== undefined }, handOver);
}
