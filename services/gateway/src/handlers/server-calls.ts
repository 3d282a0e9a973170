import type { ClientSide } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import {
  type Era,
  LATEST_LEGACY_REVISION,
  parseFrame,
  type RequestFrame,
  type SealedState,
  type Sealers,
  setParam,
} from "@tollgate/mcp";
import type { Policy, Principal } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import { checkParamHeaders } from "../domain/http-checks.ts";
import { findTarget, type Target } from "../domain/targets.ts";
import type { Calls, CallSink } from "./calls.ts";
import { decide } from "./decisions.ts";
import { invalidParams, type McpAnswer, type McpContext } from "./mcp-exchange.ts";
import type { Refuse } from "./refusals.ts";
import { startCallTrace } from "./tracing.ts";

/** What is known of the client beside its principal. */
export interface McpClient {
  readonly era: Era;
  readonly protocol: string;
  /** `name/version`. */
  readonly client: string;
  readonly side: ClientSide;
  readonly session?: string;
  /** The runner that holds the session's connection to a server. */
  readonly runnerOf?: (server: string) => string | undefined;
  readonly onRunner?: (server: string, runner: string) => void;
}

/** @throws {AppError} when the call is not let in */
export type CallServer = (
  frame: RequestFrame,
  context: McpContext,
  client: McpClient,
  sink: CallSink,
) => Promise<McpAnswer>;

/** A request for a server: whom it is for is found, the call is decided and let in. */
export function createServerCalls(options: {
  policy: Policy;
  registry: Registry;
  calls: Calls;
  refuse: Refuse;
  sealers: Sealers;
}): CallServer {
  const { policy, registry, calls, refuse, sealers } = options;
  return async (frame, context, client, sink) => {
    const { scope } = context;
    const { catalogue } = registry;
    const found = findTarget({ catalogue, scope, frame, sealers, principal: context.principal });
    if (!found.ok) return invalidParams(frame, found.reason);
    const { target } = found;
    const repeated = context.overHttp && client.era === "modern";
    const mismatch = target.item && repeated && checkParamHeaders(target.item, frame, context.headers);
    if (mismatch) return { kind: "error", id: frame.id, error: mismatch };
    const ready = readyFrame(frame, context.principal, { target, sealers });
    if (!ready.ok) return invalidParams(frame, ready.reason);

    const { principal, decisions } = await decide(policy, context, target.action, [target.subject]);
    const decision = decisions[0]!;
    const facts = factsOf(principal, target, frame, client);
    if (!decision.allow) {
      refuse({ ...facts, code: "denied", reason: decision.reason, decision });
      throw new AppError("permission_denied", `${target.named}: ${decision.reason}`);
    }
    const { id: server, status, reason } = target.server.info;
    if (status !== "ready") throw new AppError("unavailable", `server ${server} is ${status}: ${reason}`);
    const meta = frame.params?.["_meta"] as { traceparent?: unknown } | null | undefined;
    const tracing = startCallTrace(frame.method, facts.tool, context.headers["traceparent"] ?? meta?.traceparent);
    const callId = calls.start({
      frame: ready.text,
      retrySafe: target.retrySafe,
      prefixed: scope.server === undefined,
      client: client.side,
      runner: ready.runner ?? target.runner ?? client.runnerOf?.(server),
      parked: ready.parked,
      onRunner: client.onRunner && ((runner) => client.onRunner!(server, runner)),
      facts: {
        ...facts,
        protocol: client.protocol,
        decision,
        requestBytes: context.bytes,
        ...(tracing.traceparent === undefined ? {} : { traceparent: tracing.traceparent }),
        ...(client.session === undefined ? {} : { session: client.session }),
      },
      sink: {
        wantsStream: sink.wantsStream ?? false,
        onFrame: (text, eventId) => sink.onFrame(text, eventId),
        onFinal: (text, eventId) => (tracing.end(), sink.onFinal(text, eventId)),
        onFailure: (error) => (tracing.end(error.code), sink.onFailure(error)),
      },
    });
    return { kind: "call", era: client.era, callId, canResume: client.protocol === LATEST_LEGACY_REVISION };
  };
}

type Ready =
  | {
      readonly ok: true;
      readonly text: string;
      readonly runner?: string | undefined;
      readonly parked?: string | undefined;
    }
  | { readonly ok: false; readonly reason: string };

/** The frame with the server's own names, and with its own state where the client brings back what we have sealed. */
function readyFrame(
  frame: RequestFrame,
  principal: Principal,
  { target, sealers }: { target: Target; sealers: Sealers },
): Ready {
  const renamed = setParam(frame, target.path, target.own);
  const given = frame.params?.["requestState"];
  if (!renamed.ok || given === undefined) return renamed;
  const state = sealers.state.open(given);
  if (!state || !belongs(state, principal, { target, method: frame.method }))
    return { ok: false, reason: '"params.requestState" is not one that was given for this request; make it anew' };
  if (state.expiresAt <= Date.now())
    return { ok: false, reason: '"params.requestState" has expired; make the request anew, without it' };
  if (state.parked !== undefined) return { ...renamed, runner: state.runner, parked: state.parked };
  const parsed = parseFrame(renamed.text);
  if (!parsed.ok) return parsed;
  return setParam(parsed.frame, ["requestState"], state.state ?? "");
}

function belongs(state: SealedState, principal: Principal, { target, method }: { target: Target; method: string }) {
  const { subject } = target;
  const whose = state.tenant === principal.tenant && state.principal === principal.id;
  return whose && state.server === subject.server && state.name === subject.name && state.method === method;
}

function factsOf(principal: Principal, { subject }: Target, frame: RequestFrame, { client }: McpClient) {
  return {
    principal: principal.id,
    tenant: principal.tenant,
    team: principal.team,
    client,
    group: subject.group,
    server: subject.server,
    tool: subject.name,
    method: frame.method,
  };
}
