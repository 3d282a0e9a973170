/** The newest of a series of values. Listeners are told that it has changed, not each change. */
export interface Latest<T> {
  readonly value: T;
  set(value: T): void;
  /** Returns how to stop listening. */
  listen(listener: () => void): () => void;
}

/** Listeners are called at most once per `spacingMs`, and not at all once `signal` has aborted. */
export function createLatest<T>(first: T, options: { spacingMs: number; signal: AbortSignal }): Latest<T> {
  const listeners = new Set<() => void>();
  let value = first;
  let toldAt = 0;
  let timer: NodeJS.Timeout | undefined;

  const tell = (): void => {
    timer = undefined;
    toldAt = performance.now();
    for (const listener of listeners) listener();
  };
  options.signal.addEventListener("abort", () => clearTimeout(timer), { once: true });

  return {
    get value() {
      return value;
    },
    set(next) {
      value = next;
      if (options.signal.aborted) return;
      timer ??= setTimeout(tell, Math.max(0, toldAt + options.spacingMs - performance.now()));
    },
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
