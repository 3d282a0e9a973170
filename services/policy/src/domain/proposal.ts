import type { Parsed } from "@tollgate/contracts";
import type { PolicyRecord, WrittenPolicy } from "./policy.ts";

/** Policies as they might be: some in the place of those of the same id, or beside them, and some gone. */
export interface Proposal {
  readonly proposed: readonly WrittenPolicy[];
  readonly removed: readonly string[];
}

/** What would be in force. The reason names the place of the mistake. */
export function applyProposal<T extends PolicyRecord>(
  inForce: readonly T[],
  { proposed, removed }: Proposal,
): Parsed<(T | PolicyRecord)[]> {
  const ids = new Set(inForce.map(({ id }) => id));
  const missing = removed.findIndex((id) => !ids.has(id));
  if (missing >= 0) return { ok: false, reason: `removed[${missing}]: there is no such policy` };
  const twice = proposed.findIndex(({ id }, index) => proposed.findIndex((other) => other.id === id) !== index);
  if (twice >= 0) return { ok: false, reason: `proposed[${twice}].id: is that of another proposed policy` };
  const gone = new Set([...removed, ...proposed.map(({ id }) => id)]);
  const records = proposed.map((policy): PolicyRecord => ({
    ...policy,
    source: "api",
    version: 0,
    updatedAtMs: 0,
    updatedBy: "",
  }));
  return { ok: true, value: [...inForce.filter(({ id }) => !gone.has(id)), ...records] };
}
