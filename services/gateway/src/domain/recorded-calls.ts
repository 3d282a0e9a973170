import { type AuditEvent, type CallEvent, type Decision, policyV1, type RefusalEvent } from "@tollgate/contracts";
import type { Action } from "./lists.ts";

/** An event of something that policies were asked about. */
export type DecidedEvent = (CallEvent | RefusalEvent) & {
  readonly principal: string;
  readonly server: string;
  readonly decision: Decision;
};

export function isDecided(event: AuditEvent): event is DecidedEvent {
  if (event.kind !== "call" && !(event.kind === "refusal" && event.code === "denied")) return false;
  return event.principal !== undefined && event.server !== undefined && event.decision !== undefined;
}

/** The question that was asked then, as far as it is recorded: all but the call's arguments. */
export function toRecordedCall(event: DecidedEvent): policyV1.RecordedCall | undefined {
  const action = actionOf(event);
  if (action === undefined) return undefined;
  const {
    principal,
    tenant,
    team = "",
    roles = [],
    credential = principal,
    amr = [],
    acr = "",
    signedInAt = 0,
  } = event;
  const { address = "", group = "", server, tool = "", sandboxed = false, environment = "", risk = "" } = event;
  const who = {
    id: principal,
    tenant,
    team,
    roles: [...roles],
    credential,
    amr: [...amr],
    acr,
    authenticatedAtMs: BigInt(signedInAt),
  };
  return {
    id: event.id,
    question: {
      principal: policyV1.Principal.fromPartial(who),
      action,
      resources: [{ group, server, tool, sandboxed, environment, risk }],
      address,
      arguments: undefined,
    },
    atMs: BigInt(timeOf(event)),
  };
}

/** When it was decided. */
function timeOf(event: DecidedEvent): number {
  return event.kind === "call" ? event.acceptedAt : event.endedAt;
}

const ACTIONS: Readonly<Record<string, Action>> = {
  "tools/call": "tools/call",
  "prompts/get": "prompts/get",
  "resources/read": "resources/read",
  "resources/subscribe": "resources/read",
  "resources/unsubscribe": "resources/read",
  "tasks/get": "tools/call",
  "tasks/result": "tools/call",
  "tasks/cancel": "tools/call",
  "tasks/update": "tools/call",
};

/** What had to be allowed for the method: see targets.ts. */
function actionOf({ method, tool = "" }: DecidedEvent): Action | undefined {
  // Of what was to be completed only the name is recorded; that of a resource is a uri.
  if (method === "completion/complete") return /^[a-z][a-z0-9+.-]*:/i.test(tool) ? "resources/read" : "prompts/get";
  return ACTIONS[method];
}

interface Verdict {
  readonly allow: boolean;
  readonly policies: string[];
  readonly reason: string;
}

/** A call that would have been decided otherwise, or of which that cannot be said. */
export interface Difference {
  readonly kind: "changed" | "undetermined";
  readonly id: string;
  readonly at: string;
  readonly principal: string;
  readonly tenant: string;
  readonly server: string;
  readonly tool: string;
  readonly was: Verdict;
  readonly now: Verdict;
}

/** What policies said then, in the words of policy; undefined where it is not known. People and OPA come after them. */
function saidByPolicies({ allow, reason }: Decision): boolean | undefined {
  if (allow || /^(?:allowed|denied by OPA)\b/.test(reason)) return true;
  return /^(?:denied by polic|no policy allows )/.test(reason) ? false : undefined;
}

/** What is recorded, beside what a proposal says of it; undefined where nothing would have been otherwise. */
export function differenceOf(event: DecidedEvent, now: policyV1.Decision): Difference | undefined {
  const { decision: was } = event;
  const said = saidByPolicies(was);
  const isOpen = now.allow && now.variesByArguments;
  // What was refused for want of more than policies is refused whatever they say.
  const isRefusedAnyway = !was.allow && (said === true || !now.allow);
  if (isRefusedAnyway || (said === now.allow && !isOpen)) return undefined;
  const isOwn = said !== undefined;
  return {
    kind: isOpen || !isOwn ? "undetermined" : "changed",
    id: event.id,
    at: new Date(timeOf(event)).toISOString(),
    principal: event.principal,
    tenant: event.tenant,
    server: event.server,
    tool: event.tool ?? "",
    was: { allow: was.allow, policies: [...was.policies], reason: was.reason },
    now: { allow: now.allow, policies: now.policyIds, reason: reasonOf(now, isOpen, isOwn) },
  };
}

function reasonOf({ reason }: policyV1.Decision, isOpen: boolean, isOwn: boolean): string {
  if (isOpen) return `${reason}, with some arguments: the call's are not recorded`;
  return isOwn ? reason : `${reason}, but it was refused for another reason than policies`;
}
