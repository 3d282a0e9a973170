import { parseAuditEvent } from "@tollgate/contracts";
import { toRecord } from "./record.ts";

/** An event as it lies in the table. */
export interface StoredEvent {
  readonly number: number;
  readonly id: string;
  readonly hash: Buffer;
  readonly line: string;
  /** The columns that repeat what is in the line. */
  readonly columns: Readonly<Record<string, unknown>>;
}

/** Columns that do not say what their line does: searches would find, or not find, something else than was recorded. */
export function differingColumns({ line, columns }: StoredEvent): string[] {
  const parsed = parseAuditEvent(line);
  // Then it is not the line that was recorded, which the chain says.
  if (!parsed.ok) return [];
  const {
    timeMs,
    group,
    line: _line,
    sequence: _sequence,
    ...same
  } = toRecord({ event: parsed.value, line, sequence: 0 });
  const expected: Readonly<Record<string, unknown>> = { ...same, time: timeMs, group_id: group };
  return Object.keys(expected).filter((name) => JSON.stringify(columns[name]) !== JSON.stringify(expected[name]));
}
