import { type AuditEvent, type EventFacets, facetsOf, timeOfId } from "@tollgate/contracts";

/** An event as it is stored: the line itself and what it can be found by. */
export interface AuditRecord extends EventFacets {
  /** Unix milliseconds: the time in the id. */
  readonly timeMs: number;
  readonly id: string;
  readonly tenant: string;
  readonly kind: string;
  readonly sequence: number;
  readonly line: string;
}

export function toRecord(streamed: { event: AuditEvent; line: string; sequence: number }): AuditRecord {
  const { event, line, sequence } = streamed;
  const { id, tenant, kind } = event;
  return { timeMs: timeOfId(id), id, tenant, kind, ...facetsOf(event), sequence, line };
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
