import { streamOwner } from "@tollgate/contracts";
import { AppError, toAppError } from "@tollgate/errors";
import { shareOf } from "@tollgate/fair-queue";
import {
  type NotificationFrame,
  parseFrame,
  progressTokenOf,
  type RequestFrame,
  rewriteProgress,
  RPC,
  splice,
} from "@tollgate/mcp";
import { isAnsweredHere } from "../domain/answered-here.ts";
import { inputRequiredText, inputResponsesOf, isInputRequired } from "../domain/input-required.ts";
import { wantsLog } from "../domain/log-levels.ts";
import { classifyResponse, errorFrame, idTextOf } from "../domain/outcome.ts";
import { editsOfMessage, editsOfResponse, NO_EDITS, type Outward, passesAsItIs } from "../domain/outward.ts";
import { missingCapabilityText, requestMeta, responseForClient } from "../domain/translation.ts";
import type { CallSink } from "../upstream/connection.ts";
import type { Lease } from "../pool/pool.ts";
import type { Question } from "../upstream/server-questions.ts";
import type { Answer } from "../upstream/wire.ts";
import { type Call, type CallOptions, type CallState, createCallState, type Ended, now } from "./call-state.ts";
import { answerInputRequest } from "./input-rounds.ts";
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

/** What is left of the ways to send a call again. */
interface Attempts {
  /** Runs again when its process dies; once. */
  reruns: number;
  /** Is sent again when its server has certainly not taken it; once. */
  resends: number;
  /** How often its modern server has asked a legacy client for input. */
  rounds: number;
  /** The request as it was sent last. */
  frame: RequestFrame;
  parking: NodeJS.Timeout | undefined;
}

export function startCall(call: Call, options: CallOptions): RunningCall {
  const { envelope } = call;
  const parsed = parseFrame(call.frame);
  const { promise, resolve } = Promise.withResolvers<Ended>();
  const isRequest = parsed.ok && parsed.frame.kind === "request";
  const idText = idTextOf(call.frame, parsed);
  const frame = (isRequest ? parsed.frame : undefined) as RequestFrame;
  const state = createCallState(envelope, { frame, idText }, options, resolve);
  const attempts = { reruns: envelope.retrySafe ? 1 : 0, resends: 1, rounds: 0, frame, parking: undefined };
  if (!isRequest) state.fail(new AppError("internal", "the call's frame is no request"));
  else if (options.cancelled) cancel(state);
  else if (Date.now() >= state.deadline) expire(state);
  else if (envelope.parked !== undefined) goOn(state, attempts, envelope.parked);
  else void handOver(state, attempts);
  return {
    deadline: () => state.deadline,
    ended: promise,
    cancel: () => cancel(state),
    expire: () => expire(state),
  };
}

async function handOver(state: CallState, attempts: Attempts): Promise<void> {
  const { facts, client } = state.envelope;
  const { frame } = attempts;
  try {
    const pool = state.options.poolOf(facts.server);
    if (!pool) throw new AppError("unavailable", `server ${facts.server} is not run here any more`);
    const share = shareOf(facts.tenant, state.envelope.lane, state.envelope.weight);
    const lease = await pool.acquire({ facts, client, apart: isOfTask(frame), share });
    // It may have been cancelled, or run out of time, while it waited for a process.
    if (state.ended) return lease.release();
    state.coldStart ||= lease.coldStart;
    state.startedAt ??= now();
    const { era, setLogLevel } = lease.connection;
    if (client.logLevel !== undefined) await setLogLevel(client.logLevel);
    if (isAnsweredHere(facts.method, { era, shared: lease.kind === "shared" }))
      return await answerHere(state, frame, lease);
    if (state.ended) return lease.release();
    const meta = requestMeta(era, { client, facts }, pool.spec);
    const paramHeaders = era === "modern" ? pool.paramHeaders(facts.tool, frame.params?.["arguments"]) : undefined;
    const extras = paramHeaders === undefined ? meta : { ...meta, paramHeaders };
    state.upstream = callServer(lease, frame, sinkOf(state, attempts), extras);
  } catch (error) {
    state.fail(toAppError(error));
  }
}

const isOfTask = ({ method, params }: RequestFrame) => params?.["task"] !== undefined || method.startsWith("tasks/");

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
    onNotice: (frame) => takeNotice(state, frame),
    onQuestion: (question) => takeQuestion(state, attempts, question),
    onCannotAsk: (method) => {
      state.cannotAsk = method;
    },
  };
}

function takeAnswer(state: CallState, attempts: Attempts, answer: Answer): void {
  if (answer.kind === "lost") return lose(state, attempts, answer);
  const { frame } = answer;
  const { facts, client, prefixed } = state.envelope;
  const { era } = state.upstream!.lease.connection;
  if (era === "modern" && client.era === "legacy" && isInputRequired(frame.result)) {
    state.upstream!.release();
    state.upstream = undefined;
    answerInputRequest(state, frame, (attempts.rounds += 1)).then(
      (retry) => {
        attempts.frame = retry;
        if (!state.ended) void handOver(state, attempts);
      },
      (error: unknown) => state.fail(toAppError(error)),
    );
    return;
  }
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
    edits: passesAsItIs(frame, prefixed) ? NO_EDITS : editsOfResponse(frame, outwardOf(state)),
  });
  state.end(ending, text);
}

function takeNotice(state: CallState, frame: NotificationFrame): void {
  if (frame.method === "notifications/progress") {
    const token = progressTokenOf(state.frame);
    const text = token === undefined ? undefined : rewriteProgress(frame, token);
    if (text !== undefined) state.emit(text, false);
    return;
  }
  if (frame.method === "notifications/message" && !wantsLog(state.envelope.client, frame.params?.["level"])) return;
  state.emit(splice(frame.text, editsOfMessage(frame, outwardOf(state))), false);
}

/** Tasks live in the process or on the connection that made them; a modern remote server knows them everywhere. */
function outwardOf({ envelope, options, upstream }: CallState): Outward {
  const { facts, prefixed } = envelope;
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
  if (giveUp) settled = state.askClient((reason) => void (question.mayBeOfAnother() || giveUp(reason)));
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
  const keys = upstream.waiting().map(({ key }) => key);
  for (const [key, result] of inputResponsesOf(state.frame, keys)) upstream.answer(key, result);
  upstream.handTo(sinkOf(state, attempts));
  if (upstream.waiting().length > 0) attempts.parking ??= setTimeout(() => park(state, attempts), GATHER_MS);
}

/** What may run again, or has not run, is sent again; of the rest nobody knows whether it ran. */
function lose(state: CallState, attempts: Attempts, answer: Answer & { kind: "lost" }): void {
  const { id, facts, parked } = state.envelope;
  const again =
    parked === undefined && ((answer.notDelivered && (attempts.resends -= 1) >= 0) || (attempts.reruns -= 1) >= 0);
  if (again) {
    state.upstream?.release();
    state.upstream = undefined;
    // In a later tick: the pool hears of the connection's end in this one.
    setImmediate(() => {
      if (!state.ended) void handOver(state, attempts);
    });
    return;
  }
  const { reason, notDelivered } = answer;
  if (notDelivered) return state.fail(new AppError("unavailable", `server ${facts.server} ${reason}`));
  const message = `server ${facts.server} ${reason} while it worked on the call; it may have run`;
  const error = new AppError("outcome_unknown", message, { details: { callId: id } });
  state.end({ outcome: "unknown", reason: message }, errorFrame(state.idText, error));
}

function cancel(state: CallState): void {
  state.upstream?.cancel("cancelled by the client");
  const error = new AppError("cancelled", "the call was cancelled");
  state.end({ outcome: "cancelled", reason: error.message }, errorFrame(state.idText, error));
}

function expire(state: CallState): void {
  const { upstream, startedAt, envelope, idText } = state;
  upstream?.cancel("the call's deadline passed");
  const where = startedAt !== undefined ? `server ${envelope.facts.server} did not answer` : "no process was free";
  const error = new AppError("deadline_exceeded", `${where} before the call's deadline`);
  state.end({ outcome: "timeout", reason: error.message }, errorFrame(idText, error));
}
