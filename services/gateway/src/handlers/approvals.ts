import type { Metadata } from "@grpc/grpc-js";
import { type Bus, type EventPublisher, publishDecided, subscribeDecided } from "@tollgate/bus";
import { type AlertEvent, newCallId, type policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { RequestFrame, Sealers } from "@tollgate/mcp";
import { callUnary, type Log } from "@tollgate/service";
import type { Principal } from "../clients/policy.ts";
import {
  deniedReason,
  inputRequestsOf,
  justificationIn,
  readResponses,
  type Waiting,
  waitingError,
} from "../domain/approval-answers.ts";
import type { Subject } from "../domain/targets.ts";
import type { CallSink } from "./calls.ts";
import type { McpAnswer } from "./mcp-exchange.ts";
import type { AskedFacts, Refuse } from "./refusals.ts";
import type { McpClient } from "./server-calls.ts";

const TIMEOUT_MS = 10_000;
/** After that a client that waits asks again. */
const WAIT_MAX_MS = 20_000;
const WAITING_MAX = 1_000;
/** Sessions that are to be told of a decision. */
const TOLD_MAX = 10_000;
/** A client may come back late; what counts is the approval. */
const STATE_VALID_MS = 2 * 86_400_000;

/** A call as an approval is about it. */
export interface ApprovableCall {
  readonly principal: Principal;
  readonly subject: Subject;
  /** As JSON. */
  readonly callArguments: string;
  readonly justification: string;
}

/** A call that was allowed, but for the approval. */
export interface HeldCall {
  readonly frame: RequestFrame;
  readonly client: McpClient;
  readonly sink: Pick<CallSink, "onWaiting">;
  readonly principal: Principal;
  readonly subject: Subject;
  /** As the client calls the tool. */
  readonly named: string;
  /** Why its risk is more than what is declared of it; empty where it is not. */
  readonly riskReason: string;
  readonly callArguments: string;
  readonly facts: AskedFacts;
}

export interface Word {
  readonly decision: "approve" | "deny" | "revoke";
  readonly reason: string;
  readonly by: Principal;
}

/** Calls that people have to approve of first, and what their clients are told meanwhile. */
export interface Approvals {
  /** Finds the open request for the same call, or makes one. */
  request(call: ApprovableCall): Promise<policyV1.Approval>;
  /**
   * What the client is answered; undefined when something was decided meanwhile, and the call is to be looked at anew.
   * @throws {AppError} permission_denied when it was denied; cancelled when its client does not wait any more
   */
  answer(call: HeldCall): Promise<McpAnswer | undefined>;
  /** From when it settles what was decided holds. */
  decide(id: string, word: Word): Promise<policyV1.Approval>;
  /** Says that a call of a CRITICAL tool was let in. */
  noteLetIn(facts: AskedFacts): void;
}

export function createApprovals(options: {
  bus: Bus;
  client: policyV1.PolicyServiceClient;
  metadata: Metadata;
  events: EventPublisher;
  refuse: Refuse;
  sealers: Sealers;
  /** Under which clients and people reach this gateway. */
  publicUrl: string;
  toSession: (session: string, frame: string) => void;
  stopping: AbortSignal;
  log: Log;
}): Approvals {
  const { bus, client, metadata, refuse, sealers, publicUrl } = options;
  const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "policy" };
  const tell = createTeller(options);
  const waits = createWaits(options.stopping);
  const sessions = createToldSessions(options.toSession);
  subscribeDecided(bus, ({ approval }) => {
    waits.decided(approval);
    sessions.decided(approval);
  });

  async function request(call: ApprovableCall): Promise<policyV1.Approval> {
    const { principal, subject, callArguments, justification } = call;
    const { name: tool, ...resource } = subject;
    const asked = { principal, resource: { ...resource, tool }, arguments: callArguments, justification };
    const answer = await callUnary(client.requestApproval.bind(client), asked, unary);
    const approval = answer.approval!;
    // Once, also when the justification comes later.
    if (answer.created && approval.requestedAtMs === approval.changedAtMs) tell.criticalAsked(approval);
    return approval;
  }

  function inputRequired({ frame, principal, subject }: HeldCall, id: string, inputRequests: object): McpAnswer {
    const { tenant, id: who } = principal;
    const { server, name } = subject;
    const expiresAt = Date.now() + STATE_VALID_MS;
    const about = { tenant, principal: who, server, method: frame.method, name, expiresAt, approval: id };
    const requestState = sealers.state.seal(about);
    const result = JSON.stringify({ resultType: "input_required", inputRequests, requestState });
    return { kind: "result", id: frame.id, result };
  }

  function told(call: HeldCall, waiting: Waiting): McpAnswer {
    const { frame, facts } = call;
    const error = waitingError(waiting, kindOf(call.client));
    const { session } = call.client;
    if (session !== undefined && error.data?.["elicitations"] !== undefined)
      sessions.remember(waiting.approval.id, session);
    refuse({ ...facts, code: "denied", reason: facts.decision.reason });
    return { kind: "error", id: frame.id, error };
  }

  return {
    request,
    async answer(call) {
      const { frame, facts, named, riskReason } = call;
      const isBack = sealers.state.open(frame.params?.["requestState"])?.approval !== undefined;
      const responses = readResponses(isBack ? frame.params?.["inputResponses"] : undefined);
      const justification = responses.justification || justificationIn(frame.params?.["_meta"]);
      const approval = await request({ ...call, justification });
      const { id, status } = approval;
      const waiting: Waiting = { approval, named, riskReason, url: `${publicUrl}/approvals/${id}` };
      if (status === "denied") {
        const reason = deniedReason(approval);
        refuse({ ...facts, code: "denied", reason });
        throw new AppError("permission_denied", `${named}: ${reason}`, { details: { approvalId: id, status } });
      }
      if (status === "approved") return undefined;
      const asks = responses.declined ? undefined : inputRequestsOf(waiting, kindOf(call.client));
      if (asks === undefined) return told(call, waiting);
      // Its user has been asked: now it waits for others, without asking again and again.
      if (isBack && !approval.justificationMissing && (await waits.until(id, call.sink))) return undefined;
      return inputRequired(call, id, asks);
    },
    async decide(id, { decision, reason, by }) {
      const answer = await callUnary(client.decideApproval.bind(client), { id, decision, reason, by }, unary);
      const approval = answer.approval!;
      publishDecided(bus, { approval: id });
      return approval;
    },
    noteLetIn: (facts) => tell.criticalLetIn(facts),
  };
}

function kindOf({ era, protocol, side }: McpClient) {
  return { era, protocol, capabilities: side.capabilities };
}

/** Alerts of calls of CRITICAL tools. What becomes of approvals is on policy's record. */
function createTeller({ events, log }: { events: EventPublisher; log: Log }) {
  function alert(about: Omit<AlertEvent, "v" | "kind" | "id" | "endedAt" | "code">): void {
    const endedAt = Date.now();
    events
      .publish({ v: 1, kind: "alert", id: newCallId(endedAt), endedAt, code: "critical_call", ...about })
      .catch((error: unknown) => log.error({ err: error }, "an alert is not on the stream"));
  }

  return {
    criticalAsked({ id, tenant, principal, group, server, tool, risk, justification }: policyV1.Approval): void {
      if (risk !== "CRITICAL") return;
      const reason = `asked for: ${justification || "without a justification yet"}`;
      alert({ tenant, principal, group, server, tool, approval: id, reason });
    },
    criticalLetIn({ tenant, principal, group, server, tool, risk, method, address, decision }: AskedFacts): void {
      // What goes on with a task is no other call.
      if (risk !== "CRITICAL" || method !== "tools/call") return;
      const from = address === undefined ? {} : { address };
      const by = decision.approval === undefined ? {} : { approval: decision.approval };
      alert({ tenant, principal, group, server, tool, ...from, ...by, reason: `let in: ${decision.reason}` });
    },
  };
}

/** Requests that are held until somebody has decided. */
function createWaits(stopping: AbortSignal) {
  const waiting = new Map<string, Set<() => void>>();
  let count = 0;
  stopping.addEventListener("abort", () => waiting.forEach((each) => each.forEach((wake) => wake())), { once: true });
  return {
    /** True when it was decided; false when it is over, or too many wait already. */
    async until(id: string, sink: Pick<CallSink, "onWaiting">): Promise<boolean> {
      if (count >= WAITING_MAX || stopping.aborted) return false;
      count += 1;
      const { promise, resolve, reject } = Promise.withResolvers<boolean>();
      const wake = () => resolve(true);
      const timer = setTimeout(() => resolve(false), WAIT_MAX_MS);
      sink.onWaiting?.(() => reject(new AppError("cancelled", "the call was cancelled")));
      const others = waiting.get(id) ?? new Set();
      waiting.set(id, others.add(wake));
      try {
        return await promise;
      } finally {
        clearTimeout(timer);
        count -= 1;
        others.delete(wake);
        if (others.size === 0) waiting.delete(id);
      }
    },
    decided: (id: string): void => waiting.get(id)?.forEach((wake) => wake()),
  };
}

/** Sessions whose clients were sent to a page are told when that is done (MCP 2025-11-25, URL mode elicitation). */
function createToldSessions(toSession: (session: string, frame: string) => void) {
  const sessions = new Map<string, Set<string>>();
  return {
    remember(id: string, session: string): void {
      const known = sessions.get(id) ?? new Set();
      if (sessions.size >= TOLD_MAX) sessions.delete(sessions.keys().next().value!);
      sessions.set(id, known.add(session));
    },
    decided(id: string): void {
      const params = { elicitationId: id };
      const frame = JSON.stringify({ jsonrpc: "2.0", method: "notifications/elicitation/complete", params });
      for (const session of sessions.get(id) ?? []) toSession(session, frame);
      sessions.delete(id);
    },
  };
}
