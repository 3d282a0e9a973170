import { type CallPublisher, type Framed, publishCancel, type Bus } from "@tollgate/bus";
import {
  type CallEnvelope,
  type CallFacts,
  type ClientSide,
  type FallbackTool,
  isCallId,
  newCallId,
  QUESTION_TIMEOUT_MS,
  type Recordable,
  type ReplyEnvelope,
} from "@tollgate/contracts";
import { AppError, toAppError } from "@tollgate/errors";
import type { Life, Log } from "@tollgate/service";
import type { Plan } from "../domain/plans.ts";
import type { Entry } from "./entry.ts";
import { overloadOf, type Refuse } from "./refusals.ts";

const SWEEP_MS = 500;
/** The runner ends a call at its deadline; this much later the gateway answers in its place. */
const DEADLINE_GRACE_MS = 3_000;

/**
 * Where a call's frames go. After `onFinal` or `onFailure` nothing follows. `eventId` is there where the frame is part
 * of a stream that can be resumed from it.
 */
export interface CallSink {
  /** The client wants a stream, from which it can resume, however the call is answered. */
  readonly wantsStream?: boolean;
  /** The call waits to be let in; `giveUp` is for a client that does not want to wait any more. */
  onWaiting?(giveUp: () => void): void;
  onFrame(frame: string, eventId: string | undefined): void;
  onFinal(frame: string, eventId: string | undefined): void;
  onFailure(error: AppError): void;
}

export interface CallRequest {
  readonly facts: CallFacts;
  /** The tenant among whose calls under way it counts, and the limits that it counts against. */
  readonly place: string;
  readonly limits: readonly string[];
  readonly retrySafe: boolean;
  readonly prefixed: boolean;
  readonly client: ClientSide;
  /** The frame for the runner: the client's, with the server's own names. */
  readonly frame: string;
  /** The only runner that can answer it, or the one that did so before. */
  readonly runner?: string | undefined;
  readonly parked?: string | undefined;
  readonly fallbacks: readonly FallbackTool[];
  /** What of it has to be kept whole. */
  readonly record: readonly Recordable[];
  /** A runner has opened a connection for the call's session. */
  readonly onRunner?: ((runner: string) => void) | undefined;
  readonly sink: CallSink;
}

export interface Calls {
  readonly underWay: number;
  /** Sends a call that has been let in on its way, and returns its id. */
  start(request: CallRequest): string;
  /** The client does not wait any more. The runner ends the call; its outcome is recorded all the same. */
  cancel(callId: string): void;
  onReply(reply: Framed<ReplyEnvelope>): void;
}

interface Pending {
  readonly request: CallRequest;
  /** Unix milliseconds. Moves when the server asks its client something. */
  deadline: number;
}

/** Calls on their way: from the moment they are let in until their answer, or their deadline, has come. */
export function createCalls(options: {
  gateway: string;
  bus: Bus;
  publisher: CallPublisher;
  refuse: Refuse;
  planOf: (tenant: string) => Plan;
  entry: Pick<Entry, "leave">;
  requestTimeoutMs: number;
  onEnded: (facts: CallRequest["facts"], result: "answered" | "failed", ms: number) => void;
  life: Life;
  log: Log;
}): Calls {
  const { gateway, bus, publisher, refuse, planOf, entry, requestTimeoutMs, log } = options;
  const pending = new Map<string, Pending>();

  function end(id: string, result: "answered" | "failed"): CallSink | undefined {
    const call = pending.get(id);
    if (!call) return undefined;
    pending.delete(id);
    entry.leave(call.request.place, call.request.limits);
    options.onEnded(call.request.facts, result, Date.now() - call.request.facts.acceptedAt);
    return call.request.sink;
  }

  function start(request: CallRequest): string {
    const { facts, frame } = request;
    const id = newCallId(facts.acceptedAt);
    const deadline = facts.acceptedAt + requestTimeoutMs;
    pending.set(id, { request, deadline });
    const { lane, weight } = planOf(facts.tenant);
    const envelope = envelopeOf(request, { id, gateway, deadline, lane, weight });
    const route = { group: facts.group, lane, tenant: facts.tenant, runner: request.runner };
    publisher.publish(route, { envelope, frame }).catch((error: unknown) => {
      const reason = toAppError(error);
      if (reason.code === "overloaded") refuse(overloadOf(facts, reason));
      else log.error({ err: error, call: id }, "it is not known whether the stream took a call");
      end(id, "failed")?.onFailure(reason);
    });
    return id;
  }

  const sweeping = setInterval(() => {
    const late = Date.now() - DEADLINE_GRACE_MS;
    for (const [id, { deadline }] of pending) {
      if (deadline > late) continue;
      const reason = `no answer within ${requestTimeoutMs} ms; the audit event of call ${id} will say how it ended`;
      const error = new AppError("deadline_exceeded", reason, { details: { callId: id } });
      end(id, "failed")?.onFailure(error);
    }
  }, SWEEP_MS);
  options.life.onClose("call timers", 100, () => clearInterval(sweeping));

  return {
    get underWay() {
      return pending.size;
    },
    start,
    cancel(callId) {
      const call = pending.get(callId);
      if (call) publishCancel(bus, call.request.facts.group, callId);
    },
    onReply({ envelope, frame }) {
      const { id, final, runner, place } = envelope;
      const call = pending.get(id);
      if (!call) return;
      if (runner !== undefined) call.request.onRunner?.(runner);
      const eventId = place === undefined ? undefined : streamEventId(id, place);
      if (final) return end(id, "answered")?.onFinal(frame, eventId);
      if (envelope.asks) call.deadline = Date.now() + QUESTION_TIMEOUT_MS;
      call.request.sink.onFrame(frame, eventId);
    },
  };
}

/** A place in a call's stream, as `Last-Event-ID` brings it back. */
export function streamEventId(callId: string, place: number): string {
  return `${callId}.${place}`;
}

export function parseStreamEventId(text: string): { callId: string; place: number } | undefined {
  const [callId, place] = text.split(".");
  return isCallId(callId) && /^\d{1,9}$/.test(place ?? "") ? { callId, place: Number(place) } : undefined;
}

type Sent = Pick<CallEnvelope, "id" | "gateway" | "deadline"> & Pick<Plan, "lane" | "weight">;

/** Without what is as most calls have it: there are many. */
function envelopeOf(request: CallRequest, { id, gateway, deadline, lane, weight }: Sent): CallEnvelope {
  const { facts, retrySafe, prefixed, client, sink, parked, fallbacks, record } = request;
  const of = { id, gateway, deadline, retrySafe, prefixed, client };
  return {
    ...of,
    ...(sink.wantsStream ? { stream: true } : {}),
    ...(fallbacks.length === 0 ? {} : { fallbacks }),
    ...(lane === "standard" ? {} : { lane }),
    ...(weight === 1 ? {} : { weight }),
    ...(parked === undefined ? {} : { parked }),
    ...(record.length === 0 ? {} : { record }),
    facts,
  };
}
