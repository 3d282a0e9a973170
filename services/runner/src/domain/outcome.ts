import type { CallEnvelope, CallEvent, CallFallback, Outcome } from "@tollgate/contracts";
import { type AppError, toRpcError } from "@tollgate/errors";
import { parseFrame } from "@tollgate/mcp";

const REASON_MAX_CHARS = 500;

/** How one call ended, before it is written down. Times are Unix milliseconds with a fraction. */
export interface Ending {
  readonly outcome: Outcome;
  readonly reason?: string;
  readonly errorCode?: number;
  /** When the server was handed the call. */
  readonly startedAt?: number;
  readonly endedAt: number;
  readonly responseBytes: number;
  readonly coldStart: boolean;
  /** Calls that waited for the same start, this one among them. */
  readonly coldStartCalls?: number;
  /** Of the processors, in its servers. */
  readonly cpuMs?: number;
  /** How often it was handed to a server; absent for once or never. */
  readonly attempts?: number;
  /** How often it was tried again at the same server. */
  readonly retries?: number;
  /** How often APIs were asked for it; absent for once or never. */
  readonly apiRequests?: number;
  readonly fallback?: CallFallback;
}

/** The one outcome event of a call. */
export function toCallEvent(envelope: CallEnvelope, ending: Ending, runner: string): CallEvent {
  const { startedAt, endedAt } = ending;
  const { acceptedAt } = envelope.facts;
  return {
    v: 1,
    kind: "call",
    id: envelope.id,
    ...envelope.facts,
    outcome: ending.outcome,
    ...(ending.reason === undefined ? {} : { reason: ending.reason.slice(0, REASON_MAX_CHARS) }),
    ...(ending.errorCode === undefined ? {} : { errorCode: ending.errorCode }),
    ...(startedAt === undefined ? {} : { startedAt: Math.floor(startedAt) }),
    endedAt: Math.floor(endedAt),
    queueMs: milliseconds((startedAt ?? endedAt) - acceptedAt),
    durationMs: milliseconds(startedAt === undefined ? 0 : endedAt - startedAt),
    responseBytes: ending.responseBytes,
    runner,
    coldStart: ending.coldStart,
    ...(ending.coldStartCalls === undefined ? {} : { coldStartCalls: ending.coldStartCalls }),
    ...(ending.cpuMs === undefined ? {} : { cpuMs: milliseconds(ending.cpuMs) }),
    ...(ending.attempts === undefined ? {} : { attempts: ending.attempts }),
    ...(ending.apiRequests === undefined ? {} : { apiRequests: ending.apiRequests }),
    ...(ending.fallback === undefined ? {} : { fallback: ending.fallback }),
  };
}

/** Three decimals, never negative: the gateway's clock and the runner's may differ. */
function milliseconds(value: number): number {
  return Math.max(0, Math.round(value * 1000) / 1000);
}

/** What a server's response says about how the call went. */
export function classifyResponse(frame: {
  readonly result: unknown;
  readonly error: { readonly code?: unknown; readonly message?: unknown } | undefined;
}): Pick<Ending, "outcome" | "reason" | "errorCode"> {
  if (frame.error !== undefined) {
    const { code } = frame.error;
    return {
      outcome: "error",
      reason: "the server answered with a JSON-RPC error",
      ...(typeof code === "number" ? { errorCode: code } : {}),
    };
  }
  const failed = (frame.result as { isError?: unknown } | null)?.isError === true;
  return failed ? { outcome: "tool_error", reason: "the tool reported an error" } : { outcome: "ok" };
}

/** A JSON-RPC error response with the client's id as it stood in its request. */
export function errorFrame(idText: string, error: AppError): string {
  return `{"jsonrpc":"2.0","id":${idText},"error":${JSON.stringify(toRpcError(error))}}`;
}

/** A request's id as it stands in its text. What the gateway did not check has no id that could be answered. */
export function idTextOf(frame: string, parsed = parseFrame(frame)): string {
  const span = parsed.ok ? parsed.frame.members.spans["id"] : undefined;
  return span ? frame.slice(span.start, span.end) : "null";
}
