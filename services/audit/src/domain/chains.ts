import { type Chain, chainName, genesisHash, leafHash, nextHash } from "@tollgate/evidence";
import type { AuditRecord } from "./record.ts";

/** Where a chain ends. */
export interface ChainEnd extends Chain {
  /** Of the last event; 0 before the first. */
  readonly number: number;
  readonly hash: Uint8Array;
}

/** A record with its place in its chain. */
export interface ChainedRecord {
  readonly record: AuditRecord;
  readonly number: number;
  readonly hash: Uint8Array;
}

/** Puts records, in the order of the stream, behind the ends of their chains. Gives the new ends as well. */
export function chain(
  records: readonly AuditRecord[],
  ends: readonly ChainEnd[],
): { chained: ChainedRecord[]; ends: ChainEnd[] } {
  const byName = new Map(ends.map((end) => [chainName(end), end]));
  const touched = new Map<string, ChainEnd>();
  const chained = records.map((record) => {
    const { tenant, kind, line } = record;
    const name = chainName(record);
    const before = touched.get(name) ?? byName.get(name) ?? { tenant, kind, number: 0, hash: genesisHash(record) };
    const number = before.number + 1;
    const hash = nextHash(before.hash, leafHash(line));
    touched.set(name, { tenant, kind, number, hash });
    return { record, number, hash };
  });
  return { chained, ends: [...touched.values()] };
}
