import type { AuditEvent, Decision } from "./events.ts";
import { storedText } from "./stored-text.ts";

/** Below what a row of one of PostgreSQL's indexes may have: a client may send a uri of any length. */
const SEARCHABLE_MAX_BYTES = 2_048;

/** What an event can be found by. */
export interface EventFacets {
  /** What came of it: a call's outcome, a refusal's or an alert's code, and so on. */
  readonly outcome: string;
  readonly principal: string | null;
  readonly team: string | null;
  readonly group: string | null;
  readonly server: string | null;
  readonly tool: string | null;
  /** What was decided, where something was, and which policies did. */
  readonly decision: "allow" | "deny" | null;
  readonly policies: readonly string[] | null;
  /** W3C trace id. */
  readonly trace: string | null;
  /** The event's own, or the decision's where it was not allowed. */
  readonly reason: string | null;
}

/** Version, trace id, parent, flags. */
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-/;

export function facetsOf(event: AuditEvent): EventFacets {
  const fields = event as unknown as Readonly<Record<string, unknown>>;
  const decision = fields["decision"] as Partial<Decision> | undefined;
  const allowed = decision?.allow;
  return {
    outcome: searchable(outcomeOf(event)) ?? "",
    principal: searchable(fields["principal"]),
    team: searchable(fields["team"]),
    group: searchable(fields["group"]),
    server: searchable(fields["server"]),
    tool: searchable(fields["tool"]),
    decision: allowed === true ? "allow" : allowed === false ? "deny" : null,
    policies: policiesOf(decision),
    trace: traceOf(fields["traceparent"]),
    reason: searchable(fields["reason"]) ?? (allowed === false ? searchable(decision?.reason) : null),
  };
}

export function outcomeOf(event: AuditEvent): string {
  switch (event.kind) {
    case "call":
      return event.outcome;
    case "approval":
    case "change":
      return event.change;
    case "server":
      return event.state;
    case "access":
      return event.action;
    case "secret":
      return event.purpose;
    case "budget":
      return `${event.threshold}%`;
    default:
      return event.code;
  }
}

function policiesOf(decision: Partial<Decision> | undefined): string[] | null {
  const policies: unknown = decision?.policies;
  if (!Array.isArray(policies) || policies.length === 0) return null;
  return policies.map((policy) => searchable(policy)).filter((policy) => policy !== null);
}

function traceOf(traceparent: unknown): string | null {
  if (typeof traceparent !== "string") return null;
  return TRACEPARENT.exec(traceparent)?.[1] ?? null;
}

/** A text that a database can hold. Filters go the same way, so that they still find it. */
export function searchable(value: unknown): string | null {
  return typeof value === "string" ? storedText(value, SEARCHABLE_MAX_BYTES) : null;
}
