import { type AuditEvent, type Decision, timeOfId } from "@tollgate/contracts";

type Fields = Readonly<Record<string, unknown>>;

/** Version, trace id, parent, flags. */
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-/;

/** An event as it is stored: the line itself and what it can be found by. */
export interface AuditRecord {
  /** Unix milliseconds: the time in the id. */
  readonly timeMs: number;
  readonly id: string;
  readonly tenant: string;
  readonly kind: string;
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
  readonly sequence: number;
  readonly line: string;
}

export function toRecord(streamed: { event: AuditEvent; line: string; sequence: number }): AuditRecord {
  const { event, line, sequence } = streamed;
  const fields: Fields = event as unknown as Fields;
  const decision = fields["decision"] as Partial<Decision> | undefined;
  const allowed = decision?.allow;
  return {
    timeMs: timeOfId(event.id),
    id: event.id,
    tenant: event.tenant,
    kind: event.kind,
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
    sequence,
    line,
  };
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

/**
 * A text that a column can hold: a refusal repeats what the client sent, and PostgreSQL takes no NUL. Filters go the
 * same way, so that they still find it.
 */
export function searchable(value: unknown): string | null {
  return typeof value === "string" ? value.replaceAll("\0", "\u{fffd}") : null;
}

/** What makes two events the same. */
export function recordKey({ tenant, id }: Pick<AuditRecord, "tenant" | "id">): string {
  return `${tenant} ${id}`;
}

/** Each event once, in the order of the stream: of those with the same key the first. */
export function withoutDuplicates(records: readonly AuditRecord[]): readonly AuditRecord[] {
  const seen = new Set<string>();
  const once = records.filter((record) => {
    const key = recordKey(record);
    return !seen.has(key) && seen.add(key);
  });
  return once.length === records.length ? records : once;
}
