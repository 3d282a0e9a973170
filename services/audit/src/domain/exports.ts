import { isDeepStrictEqual } from "node:util";
import { type AuditEvent, type Change, outcomeOf } from "@tollgate/contracts";
import type { DesiredExport } from "@tollgate/desired-state";
import type { Exported } from "./exported.ts";

/** Whether an export wants an event. */
export function isWanted({ tenants, kinds, outcomes }: Selection, event: AuditEvent): boolean {
  const isOf = (wanted: readonly string[], value: string) => wanted.length === 0 || wanted.includes(value);
  return isOf(tenants, event.tenant) && isOf(kinds, event.kind) && isOf(outcomes, outcomeOf(event));
}

type Selection = Pick<DesiredExport, "tenants" | "kinds" | "outcomes">;

/** What is sent together: at most `countMax` events, and of `bytesMax` unless one alone is larger. */
export function* partsOf(
  events: readonly Exported[],
  { countMax, bytesMax }: { countMax: number; bytesMax: number },
): Generator<Exported[]> {
  let part: Exported[] = [];
  let bytes = 0;
  for (const each of events) {
    if (part.length > 0 && (part.length === countMax || bytes + each.line.length > bytesMax)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(each);
    bytes += each.line.length;
  }
  if (part.length > 0) yield part;
}

/** An export without its secrets: what is stored of it and told of its changes. */
export type Definition = Readonly<Record<string, unknown>>;

export function definitionOf(wanted: DesiredExport): Definition {
  const { url, headers, tls, ...plain } = wanted;
  const { protocol, host } = new URL(url);
  // The path and the query of an address may be secrets, too.
  return { ...plain, address: `${protocol}//${host}`, headers: Object.keys(headers), tls: { ...tls } };
}

export interface Known {
  readonly id: string;
  readonly definition: Definition;
}

/** What the file has changed, for the record. */
export function changesOf(before: readonly Known[], after: readonly Known[]): Change[] {
  const knownBefore = new Map(before.map((each) => [each.id, each.definition]));
  const knownAfter = new Set(after.map(({ id }) => id));
  const common = { tenant: "", resource: "export", principal: "file" } as const;
  const changes: Change[] = [];
  for (const { id, definition } of after) {
    const old = knownBefore.get(id);
    if (old === undefined) changes.push({ ...common, change: "created", name: id, after: definition });
    else if (!isDeepStrictEqual(old, definition))
      changes.push({ ...common, change: "updated", name: id, before: old, after: definition });
  }
  for (const { id, definition } of before)
    if (!knownAfter.has(id)) changes.push({ ...common, change: "deleted", name: id, before: definition });
  return changes;
}
