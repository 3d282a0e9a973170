/** Bytes by key, within bounds: the least recently used ones are dropped when there are more than `maxBytes` of them. */
export interface KeptBytes {
  get(key: string): Buffer | undefined;
  set(key: string, bytes: Buffer): void;
  clear(): void;
}

export function createKeptBytes(maxBytes: number): KeptBytes {
  const kept = new Map<string, Buffer>();
  let total = 0;

  function drop(key: string, bytes: Buffer): void {
    kept.delete(key);
    total -= bytes.length;
  }

  return {
    get(key) {
      const bytes = kept.get(key);
      if (bytes === undefined) return undefined;
      // Whatever was used last is at the end.
      kept.delete(key);
      kept.set(key, bytes);
      return bytes;
    },
    set(key, bytes) {
      const before = kept.get(key);
      if (before !== undefined) drop(key, before);
      if (bytes.length > maxBytes) return;
      kept.set(key, bytes);
      total += bytes.length;
      for (const [oldest, each] of kept) {
        if (total <= maxBytes) return;
        drop(oldest, each);
      }
    },
    clear() {
      kept.clear();
      total = 0;
    },
  };
}
