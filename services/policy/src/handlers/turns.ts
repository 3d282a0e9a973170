import { AppError } from "@tollgate/errors";

/** Runs works one after the other, in the order in which they came; refuses more than `waitingMax`. */
export function createTurns(options: { readonly waitingMax: number; readonly what: string }) {
  const { waitingMax, what } = options;
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  return async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (waiting >= waitingMax) {
      throw new AppError("overloaded", `${waitingMax} ${what} are waiting already; try again later`);
    }
    waiting += 1;
    const turn = last.then(work, work);
    last = turn.catch(() => undefined);
    return turn.finally(() => (waiting -= 1));
  };
}
