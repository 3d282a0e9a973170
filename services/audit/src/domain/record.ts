import { type AuditEvent, timeOfId } from "@tollgate/contracts";

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
  readonly group: string | null;
  readonly server: string | null;
  readonly tool: string | null;
  readonly sequence: number;
  readonly line: string;
}

export function toRecord(streamed: { event: AuditEvent; line: string; sequence: number }): AuditRecord {
  const { event, line, sequence } = streamed;
  const fields: Readonly<Record<string, unknown>> = { ...event };
  return {
    timeMs: timeOfId(event.id),
    id: event.id,
    tenant: event.tenant,
    kind: event.kind,
    outcome: searchable(outcomeOf(event)) ?? "",
    principal: searchable(fields["principal"]),
    group: searchable(fields["group"]),
    server: searchable(fields["server"]),
    tool: searchable(fields["tool"]),
    sequence,
    line,
  };
}

function outcomeOf(event: AuditEvent): string {
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

/**
 * Each event once, in the order of the batch: of those with the same key the one that is first on the stream. A batch
 * is not always in stream order, since what a crashed replica had not stored comes back late.
 */
export function withoutDuplicates(records: readonly AuditRecord[]): AuditRecord[] {
  const first = new Map<string, AuditRecord>();
  for (const record of records) {
    const key = `${record.tenant} ${record.id}`;
    const known = first.get(key);
    if (known === undefined || record.sequence < known.sequence) first.set(key, record);
  }
  return first.size === records.length ? [...records] : [...first.values()];
}
