import { AppError } from "@tollgate/errors";

/** Works that go on at once, so many; others wait for their turn, in the order in which they came, until their signal. */
export interface Places {
  /** @throws {AppError} `overloaded` when too many wait; the signal's reason when it comes before the turn */
  hold<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

export function createPlaces(options: { readonly atOnceMax: number; readonly waitingMax: number }): Places {
  const { atOnceMax, waitingMax } = options;
  const waiting = new Set<() => void>();
  let free = atOnceMax;

  function turn(signal: AbortSignal): Promise<void> {
    if (waiting.size >= waitingMax) throw new AppError("overloaded", `${waitingMax} are waiting already`);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const begin = () => (signal.removeEventListener("abort", giveUp), resolve());
    const giveUp = () => (waiting.delete(begin), reject(signal.reason as Error));
    waiting.add(begin);
    signal.addEventListener("abort", giveUp, { once: true });
    return promise;
  }

  /** The place goes to whoever has waited longest. */
  function leave(): void {
    const [next] = waiting;
    if (next === undefined) return void (free += 1);
    waiting.delete(next);
    next();
  }

  return {
    async hold(signal, work) {
      signal.throwIfAborted();
      if (free > 0) free -= 1;
      else await turn(signal);
      try {
        return await work();
      } finally {
        leave();
      }
    },
  };
}
