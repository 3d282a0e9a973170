/** Values by key, of so many bytes in all: the least recently used ones are dropped when there are more. */
export interface BoundedMap<V> {
  get(key: string): V | undefined;
  set(key: string, value: V): void;
  /** Drops those that are so. */
  drop(isDropped: (value: V) => boolean): void;
  clear(): void;
}

/** Of each entry beside its key and what is told of its value: whatever is empty takes room too. */
const ENTRY_BYTES = 256;

/** @param bytesOf of a value, which does not change while it is kept */
export function createBoundedMap<V>(maxBytes: number, bytesOf: (value: V) => number): BoundedMap<V> {
  const kept = new Map<string, V>();
  let total = 0;

  const costOf = (key: string, value: V): number => ENTRY_BYTES + key.length + bytesOf(value);

  function remove(key: string, value: V): void {
    kept.delete(key);
    total -= costOf(key, value);
  }

  return {
    get(key) {
      const value = kept.get(key);
      if (value === undefined) return undefined;
      // Whatever was used last is at the end.
      kept.delete(key);
      kept.set(key, value);
      return value;
    },
    set(key, value) {
      const before = kept.get(key);
      if (before !== undefined) remove(key, before);
      const cost = costOf(key, value);
      if (cost > maxBytes) return;
      kept.set(key, value);
      total += cost;
      for (const [oldest, each] of kept) {
        if (total <= maxBytes) return;
        remove(oldest, each);
      }
    },
    drop(isDropped) {
      for (const [key, value] of kept) if (isDropped(value)) remove(key, value);
    },
    clear() {
      kept.clear();
      total = 0;
    },
  };
}
