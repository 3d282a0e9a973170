import { type Chain, chainName, genesisHash, nextHash } from "@tollgate/evidence";

/** Where a chain ends. */
export interface ChainEnd extends Chain {
  /** Of the last event; 0 before the first. */
  readonly number: number;
  readonly hash: Uint8Array;
}

/** What the next event of a chain is to be. */
export interface Link extends Chain {
  /** Of the chain. */
  readonly name: string;
  readonly leaf: Uint8Array;
}

/**
 * Puts events, in the order of the stream, behind the ends of their chains: the number and the hash of each, and the
 * new ends. A chain without an end begins.
 */
export function chain(
  links: readonly Link[],
  ends: readonly ChainEnd[],
): { numbers: number[]; hashes: Uint8Array[]; ends: ChainEnd[] } {
  const known = new Map(ends.map((end) => [chainName(end), end]));
  const touched = new Map<string, ChainEnd>();
  const numbers: number[] = [];
  const hashes: Uint8Array[] = [];
  for (const link of links) {
    const { tenant, kind, name, leaf } = link;
    const before = touched.get(name) ?? known.get(name) ?? { tenant, kind, number: 0, hash: genesisHash(link) };
    const end = { tenant, kind, number: before.number + 1, hash: nextHash(before.hash, leaf) };
    touched.set(name, end);
    numbers.push(end.number);
    hashes.push(end.hash);
  }
  return { numbers, hashes, ends: [...touched.values()] };
}
