import type { Lane } from "@tollgate/contracts";

/** Whose turn it is: so many items of `key` to one of a key with weight 1. */
export interface Share {
  readonly key: string;
  /** A whole number from 1. */
  readonly weight: number;
}

const LANE_WEIGHTS: Readonly<Record<Lane, number>> = { interactive: 8, standard: 4, batch: 1 };

/** A tenant's turn in its lane. `weight` is that of the tenant's plan. */
export function shareOf(tenant: string, lane: Lane = "standard", weight = 1): Share {
  return { key: tenant, weight: LANE_WEIGHTS[lane] * weight };
}

/**
 * Deficit round robin (Shreedhar and Varghese, SIGCOMM 1995) where every item costs one: each key has its own queue,
 * in order, and the keys with items take turns of as many items as their weight. What waits behind one key's thousands
 * is its own. Each operation takes constant time, but for keys that are passed over in `shift`.
 */
export interface FairQueue<T> {
  readonly size: number;
  sizeOf(key: string): number;
  /** Returns how to take the item out again; false when it has left already. */
  push(item: T, share: Share): () => boolean;
  /** The next item. A key whose first item is not `ready` is passed over, and keeps its place. */
  shift(ready?: (item: T) => boolean): T | undefined;
}

interface Turn<T> {
  /** First in, first out; a set, so that one in the middle can leave. */
  readonly items: Set<{ readonly item: T }>;
  weight: number;
  /** Items left of this turn. */
  credit: number;
}

export function createFairQueue<T>(): FairQueue<T> {
  /** In the order of their turns. */
  const turns = new Map<string, Turn<T>>();
  let size = 0;

  function remove(key: string, entry: { readonly item: T }): boolean {
    const turn = turns.get(key);
    if (!turn?.items.delete(entry)) return false;
    size -= 1;
    if (turn.items.size === 0) turns.delete(key);
    return true;
  }

  return {
    get size() {
      return size;
    },
    sizeOf: (key) => turns.get(key)?.items.size ?? 0,
    push(item, { key, weight }) {
      let turn = turns.get(key);
      if (turn === undefined) turns.set(key, (turn = { items: new Set(), weight, credit: weight }));
      // The newest word on a tenant's plan counts.
      turn.weight = weight;
      const entry = { item };
      turn.items.add(entry);
      size += 1;
      return () => remove(key, entry);
    },
    shift(ready) {
      for (const [key, turn] of turns) {
        const entry = turn.items.values().next().value!;
        if (ready && !ready(entry.item)) continue;
        turn.credit -= 1;
        remove(key, entry);
        if (turn.credit <= 0 && turns.delete(key)) {
          turn.credit = turn.weight;
          turns.set(key, turn);
        }
        return entry.item;
      }
      return undefined;
    },
  };
}
