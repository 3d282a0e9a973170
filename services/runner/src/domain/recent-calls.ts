/**
 * The calls that this runner has begun lately: one that is delivered again must not begin again. Bounded; what is
 * still running is never forgotten before what is done.
 */
export interface RecentCalls {
  /** False when the call was begun before. */
  begin(id: string): boolean;
  isDone(id: string): boolean;
  done(id: string): void;
  /** It was begun in vain: the next delivery begins it anew. */
  forget(id: string): void;
}

export function createRecentCalls(max: number): RecentCalls {
  /** Oldest first. */
  const states = new Map<string, "running" | "done">();
  return {
    begin(id) {
      if (states.has(id)) return false;
      states.set(id, "running");
      if (states.size > max) {
        const [oldest, state] = states.entries().next().value!;
        states.delete(oldest);
        if (state === "running") states.set(oldest, state);
      }
      return true;
    },
    isDone: (id) => states.get(id) === "done",
    done: (id) => void states.set(id, "done"),
    forget: (id) => void states.delete(id),
  };
}
