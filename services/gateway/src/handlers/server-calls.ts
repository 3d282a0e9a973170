import type { ClientSide, Decision, FallbackTool, Recordable } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import {
  type Era,
  LATEST_LEGACY_REVISION,
  parseFrame,
  removeParams,
  type RequestFrame,
  RPC,
  type SealedState,
  type Sealers,
  setParam,
} from "@tollgate/mcp";
import type { Policy, Principal } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import type { Item } from "../domain/catalogue.ts";
import { ambiguityIn, argumentsOf, argumentsText } from "../domain/call-arguments.ts";
import { checkParamHeaders, type Refusal } from "../domain/http-checks.ts";
import { allowedOf, fallbacksOf, keepsResults } from "../domain/fallbacks.ts";
import { createInputSchemas, type InputSchemas } from "./input-schemas.ts";
import { findTarget, type Target } from "../domain/targets.ts";
import type { Affinities } from "./affinities.ts";
import type { Approvals } from "./approvals.ts";
import type { Calls, CallSink } from "./calls.ts";
import { decide } from "./decisions.ts";
import type { Entry } from "./entry.ts";
import { invalidParams, type McpAnswer, type McpContext } from "./mcp-exchange.ts";
import type { AskedFacts, Refuse } from "./refusals.ts";
import { startCallTrace } from "./tracing.ts";

/** A call whose approvals change all the time is told so. */
const LOOKS_MAX = 8;

const SESSION_ENDED = {
  status: 404,
  code: RPC.invalidRequest,
  message: "the session has ended; send initialize again",
};

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

interface Asked {
  readonly frame: RequestFrame;
  readonly context: McpContext;
  readonly client: McpClient;
  readonly sink: CallSink;
}

/** A call that may be let in. */
interface Allowed {
  readonly kind: "allowed";
  readonly target: Target;
  readonly ready: Ready & { readonly ok: true };
  readonly facts: AskedFacts;
  readonly fallbacks: readonly FallbackTool[];
  /** The runner that holds what the client's server keeps for it. */
  readonly home: string | undefined;
  readonly limits: readonly string[];
  readonly record: readonly Recordable[];
}

/** A request for a server: whom it is for is found, the call is decided and let in. */
export function createServerCalls(options: {
  policy: Policy;
  registry: Registry;
  entry: Entry;
  calls: Calls;
  refuse: Refuse;
  sealers: Sealers;
  affinities: Affinities;
  approvals: Approvals;
}): CallServer {
  const { policy, registry, entry, calls, refuse, sealers, affinities, approvals } = options;
  const inputSchemas = createInputSchemas();

  /** Checks all that has to hold when the call is let in. @throws {AppError} when it may not be */
  async function check(asked: Asked, looks = 1): Promise<Allowed | McpAnswer> {
    const { frame, context, client, sink } = asked;
    const { catalogue } = registry;
    const found = findTarget({ catalogue, scope: context.scope, frame, sealers, principal: context.principal });
    if (!found.ok) return invalidParams(frame, found.reason);
    const { target } = found;
    const repeated = context.overHttp && client.era === "modern";
    const mismatch = target.item && repeated && checkParamHeaders(target.item, frame, context.headers);
    if (mismatch) return { kind: "error", id: frame.id, error: mismatch };
    const ready = readyFrame(frame, context.principal, { target, sealers });
    if (!ready.ok) return invalidParams(frame, ready.reason);

    // Before the decision, after which nothing is waited for.
    const home = needsHome(target, client)
      ? await affinities.find(context.principal, target.server.info.id)
      : client.runnerOf?.(target.server.info.id);
    const others = fallbacksOf(catalogue, target, frame).filter((other) => !misfitOf(other, frame, inputSchemas));
    const { principal, rulings } = await decide(policy, context, target.action, {
      subjects: [target.subject, ...others],
      // A task was decided on when it began; a completion is there before the arguments are.
      ...(frame.method === target.action ? { callArguments: () => argumentsOf(frame) } : {}),
    });
    // It may have been ended since it was found.
    if (client.session !== undefined && policy.hasEnded(client.session))
      return { kind: "error", id: frame.id, error: SESSION_ENDED };
    const { decision, approvalsNeeded } = rulings[0]!;
    const facts = factsOf({ principal, address: context.address, target, frame, client, decision });
    if (!decision.allow && approvalsNeeded === 0) {
      refuse({ ...facts, code: "denied", reason: decision.reason });
      const { stepUp } = rulings[0]!;
      const details = stepUp === undefined ? {} : { stepUp };
      throw new AppError("permission_denied", `${target.named}: ${decision.reason}`, { details });
    }
    if (target.withheld !== undefined) {
      const reason = `the tool is withheld: ${target.withheld}`;
      refuse({ ...facts, code: "denied", reason });
      throw new AppError("permission_denied", `${target.named}: ${reason}`);
    }
    const misfit = target.item && misfitOf(target.item, frame, inputSchemas);
    if (misfit) return { kind: "error", id: frame.id, error: misfit };
    if (!decision.allow) {
      if (looks >= LOOKS_MAX) throw new AppError("unavailable", `${target.named}: ${decision.reason}`);
      const { subject, named, item } = target;
      const held = { frame, client, sink, principal, facts, subject, named, riskReason: item?.riskReason ?? "" };
      return (await approvals.answer({ ...held, callArguments: argumentsOf(frame) })) ?? check(asked, looks + 1);
    }
    const fallbacks = allowedOf(others, rulings.slice(1));
    const { id: server, status, reason } = target.server.info;
    if (status !== "ready" && fallbacks.length === 0 && !keepsResults(target))
      throw new AppError("unavailable", `server ${server} is ${status}: ${reason}`);
    // Of a task that is under way anything may be asked.
    const limits = frame.method.startsWith("tasks/") ? [] : rulings[0]!.limits;
    return { kind: "allowed", target, ready, facts, fallbacks, home, limits, record: rulings[0]!.record };
  }

  /** Nothing may come between the check and this. */
  function start(call: Allowed, { frame, context, client }: Asked, sink: CallSink): McpAnswer {
    const { target, ready, facts, fallbacks, home, limits, record } = call;
    const { server, tenant } = facts;
    const acceptedAt = Date.now();
    // Looked at after the clock, so that a machine that stood still meanwhile lets nothing in when the lease is over.
    if (!policy.holds(facts.decision.revision)) {
      entry.leave(tenant, limits);
      throw new AppError("unavailable", "policy was not heard from while the call was let in; send it again", {
        retryable: true,
      });
    }
    approvals.noteLetIn(facts);
    const meta = frame.params?.["_meta"] as { traceparent?: unknown } | null | undefined;
    const tracing = startCallTrace(frame.method, facts.tool, context.headers["traceparent"] ?? meta?.traceparent);
    const callId = calls.start({
      frame: ready.text,
      place: tenant,
      limits,
      retrySafe: target.retrySafe,
      prefixed: context.scope.server === undefined,
      client: client.side,
      runner: ready.runner ?? target.runner ?? home,
      parked: ready.parked,
      fallbacks,
      record,
      onRunner(runner) {
        if (needsHome(target, client)) affinities.remember(context.principal, server, runner);
        else client.onRunner?.(server, runner);
      },
      facts: {
        ...facts,
        acceptedAt,
        protocol: client.protocol,
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
  }

  return async (frame, context, client, sink) => {
    const asked = { frame, context, client, sink };
    const checked = await check(asked);
    if (checked.kind !== "allowed") return checked;
    const entered = entry.enter<Allowed, McpAnswer>(checked, () => check(asked), sink);
    const call = entered instanceof Promise ? await entered : entered;
    return call.kind === "allowed" ? start(call, asked, sink) : call;
  };
}

/** A session says itself where it is at home. */
function needsHome({ server }: Target, { era }: McpClient): boolean {
  return era === "modern" && server.info.poolMode === "session";
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
  if (state.approval !== undefined) return withoutAnswers(renamed.text);
  if (state.parked !== undefined) return { ...renamed, runner: state.runner, parked: state.parked };
  const parsed = parseFrame(renamed.text);
  if (!parsed.ok) return parsed;
  return setParam(parsed.frame, ["requestState"], state.state ?? "");
}

/** No server has asked for what the client brings back. */
function withoutAnswers(text: string): Ready {
  const parsed = parseFrame(text);
  return parsed.ok ? { ok: true, text: removeParams(parsed.frame, ["requestState", "inputResponses"]) } : parsed;
}

/** From MEDIUM on a tool gets what it says that it takes, and nothing else. */
function misfitOf({ risk, definition }: Item, frame: RequestFrame, schemas: InputSchemas): Refusal | undefined {
  if (risk === "LOW") return undefined;
  const ambiguous = ambiguityIn(argumentsText(frame));
  if (ambiguous !== undefined)
    return { status: 200, code: RPC.invalidParams, message: `"params.arguments": ${ambiguous}` };
  const problem = schemas.check(definition, frame.params?.["arguments"] ?? {});
  if (problem === undefined) return undefined;
  const data = { code: "invalid_argument", retryable: false, errors: problem.errors };
  return { status: 200, code: RPC.invalidParams, message: problem.reason, data };
}

function belongs(state: SealedState, principal: Principal, { target, method }: { target: Target; method: string }) {
  const { subject } = target;
  const whose = state.tenant === principal.tenant && state.principal === principal.id;
  return whose && state.server === subject.server && state.name === subject.name && state.method === method;
}

function factsOf(options: {
  principal: Principal;
  address: string;
  target: Target;
  frame: RequestFrame;
  client: McpClient;
  decision: Decision;
}): AskedFacts {
  const { principal, address, target, frame, client, decision } = options;
  const { group, server, name: tool, environment, risk, sandboxed } = target.subject;
  const { id, tenant, team, roles, credential, amr, acr, authenticatedAtMs } = principal;
  return {
    principal: id,
    tenant,
    team,
    client: client.client,
    group,
    server,
    tool,
    method: frame.method,
    decision,
    address,
    ...(credential === id ? {} : { credential }),
    ...(roles.length === 0 ? {} : { roles }),
    ...(environment === "" ? {} : { environment }),
    ...(risk === "LOW" ? {} : { risk }),
    ...(sandboxed ? { sandboxed } : {}),
    ...(amr.length === 0 ? {} : { amr }),
    ...(acr === "" ? {} : { acr }),
    ...(authenticatedAtMs === 0n ? {} : { signedInAt: Number(authenticatedAtMs) }),
  };
}
