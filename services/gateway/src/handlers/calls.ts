import { type CallPublisher, type Framed, publishCancel, type Bus } from "@tollgate/bus";
import { type CallFacts, newCallId, type ReplyEnvelope } from "@tollgate/contracts";
import { AppError, toAppError } from "@tollgate/errors";
import type { Life, Log } from "@tollgate/service";
import type { Admission } from "../domain/admission.ts";
import type { Refusal, Refuse } from "./refusals.ts";

const SWEEP_MS = 500;
/** The runner ends a call at its deadline; this much later the gateway answers in its place. */
const DEADLINE_GRACE_MS = 3_000;

/** Where a call's frames go. After `onFinal` or `onFailure` nothing follows. */
export interface CallSink {
  onProgress(frame: string): void;
  onFinal(frame: string): void;
  onFailure(error: AppError): void;
}

export interface CallRequest {
  readonly facts: Omit<CallFacts, "acceptedAt">;
  readonly retrySafe: boolean;
  /** The frame for the runner: the client's, with the tool's own name. */
  readonly frame: string;
  readonly sink: CallSink;
}

export interface Calls {
  readonly underWay: number;
  /** Takes a call in and returns its id. @throws {AppError} `overloaded`: nothing was published */
  start(request: CallRequest): string;
  /** The client does not wait any more. The runner ends the call; its outcome is recorded all the same. */
  cancel(callId: string): void;
  onReply(reply: Framed<ReplyEnvelope>): void;
}

interface Pending {
  readonly request: CallRequest;
  readonly deadline: number;
}

/** Calls on their way: from the moment they are let in until their answer, or their deadline, has come. */
export function createCalls(options: {
  gateway: string;
  bus: Bus;
  publisher: CallPublisher;
  refuse: Refuse;
  admission: Admission;
  requestTimeoutMs: number;
  onEnded: (facts: CallRequest["facts"], result: "answered" | "failed", ms: number) => void;
  life: Life;
  log: Log;
}): Calls {
  const { gateway, bus, publisher, refuse, admission, requestTimeoutMs, log } = options;
  const pending = new Map<string, Pending>();

  function end(id: string, result: "answered" | "failed"): CallSink | undefined {
    const call = pending.get(id);
    if (!call) return undefined;
    pending.delete(id);
    admission.leave(call.request.facts.tenant);
    options.onEnded(call.request.facts, result, Date.now() - (call.deadline - requestTimeoutMs));
    return call.request.sink;
  }

  function enter(facts: CallRequest["facts"]): void {
    try {
      admission.enter(facts.tenant);
    } catch (error) {
      refuse(refusalOf(facts, toAppError(error)));
      throw error;
    }
  }

  function start(request: CallRequest): string {
    const { facts, retrySafe, frame } = request;
    enter(facts);
    const acceptedAt = Date.now();
    const id = newCallId(acceptedAt);
    const deadline = acceptedAt + requestTimeoutMs;
    pending.set(id, { request, deadline });
    const client = { era: "legacy" as const, capabilities: {} };
    const envelope = { id, gateway, deadline, retrySafe, prefixed: false, client, facts: { ...facts, acceptedAt } };
    const route = { group: facts.group, lane: "interactive" as const, tenant: facts.tenant };
    publisher.publish(route, { envelope, frame }).catch((error: unknown) => {
      const reason = toAppError(error);
      if (reason.code === "overloaded") refuse(refusalOf(facts, reason));
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
      if (envelope.final) end(envelope.id, "answered")?.onFinal(frame);
      else pending.get(envelope.id)?.request.sink.onProgress(frame);
    },
  };
}

function refusalOf(facts: CallRequest["facts"], { message }: AppError): Refusal {
  const { principal, tenant, team, client, group, server, tool, method, decision } = facts;
  const of = { group, server, tool, method, decision };
  return { principal, tenant, team, client, ...of, code: "overloaded", reason: message };
}
