import type { Framed } from "@tollgate/bus";
import type { CallEnvelope } from "@tollgate/contracts";
import { AppError, toAppError } from "@tollgate/errors";
import { eraOf, parseFrame, type RequestFrame } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import { classifyResponse, type Ending, errorFrame, idTextOf } from "../domain/outcome.ts";
import type { CallHandle } from "../upstream/connection.ts";
import type { Lease, Pool } from "../upstream/pool.ts";

export type Call = Framed<CallEnvelope>;

/** How a call ended, and the frame that its client gets. */
export interface Ended {
  readonly ending: Ending;
  readonly text: string;
}

/** One call in this runner's hands: received → handed to a process → ended, once, in whatever way comes first. */
export interface RunningCall {
  /** Unix milliseconds. */
  readonly deadline: number;
  readonly ended: Promise<Ended>;
  /** The client does not want it any more. */
  cancel(): void;
  /** Its deadline has passed. */
  expire(): void;
}

interface CallOptions {
  /** Cancelled before it came here. */
  readonly cancelled: boolean;
  readonly poolOf: (server: string) => Pool | undefined;
  readonly onProgress: (text: string) => void;
  readonly log: Log;
}

interface State {
  readonly call: Call;
  readonly idText: string;
  startedAt: number | undefined;
  coldStart: boolean;
  lease: Lease | undefined;
  handle: CallHandle | undefined;
  /** Runs again when its process dies; once. */
  retriesLeft: number;
  ended: boolean;
  end(ending: Pick<Ending, "outcome" | "reason" | "errorCode">, text: string): void;
}

export function startCall(call: Call, options: CallOptions): RunningCall {
  const { deadline, retrySafe } = call.envelope;
  const parsed = parseFrame(call.frame);
  const { promise, resolve } = Promise.withResolvers<Ended>();
  const state: State = {
    call,
    idText: idTextOf(call.frame, parsed),
    startedAt: undefined,
    coldStart: false,
    lease: undefined,
    handle: undefined,
    retriesLeft: retrySafe ? 1 : 0,
    ended: false,
    end(ending, text) {
      if (state.ended) return;
      state.ended = true;
      state.lease?.release();
      const { startedAt, coldStart } = state;
      const started = startedAt === undefined ? {} : { startedAt };
      const responseBytes = Buffer.byteLength(text);
      resolve({ ending: { endedAt: now(), responseBytes, coldStart, ...started, ...ending }, text });
    },
  };
  if (!parsed.ok || parsed.frame.kind !== "request")
    fail(state, new AppError("internal", "the call's frame is no request"), options.log);
  else if (options.cancelled) cancel(state);
  else if (Date.now() >= deadline) expire(state);
  else void handOver(state, parsed.frame, options);
  return { deadline, ended: promise, cancel: () => cancel(state), expire: () => expire(state) };
}

async function handOver(state: State, frame: RequestFrame, options: CallOptions): Promise<void> {
  const { server, tenant } = state.call.envelope.facts;
  try {
    const pool = options.poolOf(server);
    if (!pool) throw new AppError("unavailable", `server ${server} is not run here any more`);
    const lease = await pool.acquire(tenant);
    // It may have been cancelled, or run out of time, while it waited for a process.
    if (state.ended) return lease.release();
    state.lease = lease;
    state.coldStart ||= lease.coldStart;
    state.startedAt ??= now();
    state.handle = lease.connection.call(frame, {
      clientEra: eraOf(frame.params),
      onProgress: options.onProgress,
      onAnswer: (answer) => {
        if ("lost" in answer) lose(state, frame, answer.lost, options);
        else state.end(classifyResponse(answer.frame), answer.text);
      },
    });
  } catch (error) {
    fail(state, toAppError(error), options.log);
  }
}

/** The process ended. What may run again does so; of the rest nobody knows whether it ran. */
function lose(state: State, frame: RequestFrame, reason: string, options: CallOptions): void {
  const { id, facts } = state.call.envelope;
  if (state.retriesLeft > 0) {
    state.retriesLeft -= 1;
    state.lease?.release();
    state.lease = undefined;
    state.handle = undefined;
    void handOver(state, frame, options);
    return;
  }
  const message = `server ${facts.server} ${reason} while it worked on the call; it may have run`;
  const error = new AppError("outcome_unknown", message, { details: { callId: id } });
  state.end({ outcome: "unknown", reason: message }, errorFrame(state.idText, error));
}

function fail(state: State, error: AppError, log: Log): void {
  if (error.code === "internal") log.error({ err: error.cause ?? error }, "a call failed inside the runner");
  state.end({ outcome: "error", reason: error.message }, errorFrame(state.idText, error));
}

function cancel(state: State): void {
  state.handle?.cancel("cancelled by the client");
  const error = new AppError("cancelled", "the call was cancelled");
  state.end({ outcome: "cancelled", reason: error.message }, errorFrame(state.idText, error));
}

function expire(state: State): void {
  state.handle?.cancel("the call's deadline passed");
  const where = state.handle ? `server ${state.call.envelope.facts.server} did not answer` : "no process was free";
  const error = new AppError("deadline_exceeded", `${where} before the call's deadline`);
  state.end({ outcome: "timeout", reason: error.message }, errorFrame(state.idText, error));
}

/** Unix milliseconds with microseconds, so that short calls are billed for what they took. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
