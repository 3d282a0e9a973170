import { AppError } from "@tollgate/errors";

/** The places of one process: so many calls at the same time, and so many that wait for one. */
export interface Places {
  readonly taken: number;
  /** @throws {AppError} `overloaded` when too many wait already */
  enter(): Promise<void>;
  /** Whoever has waited longest gets the place. */
  leave(): void;
  /** Lets everybody in who waits: the process has ended, which they will see. */
  open(): void;
  /** Settles when nobody is in any more. */
  emptied(): Promise<void>;
}

export function createPlaces(options: { name: string; max: number; waitingMax: number }): Places {
  const { name, max, waitingMax } = options;
  const waiting: (() => void)[] = [];
  const whenEmpty: (() => void)[] = [];
  let taken = 0;
  return {
    get taken() {
      return taken;
    },
    async enter() {
      if (taken < max) {
        taken += 1;
        return;
      }
      if (waiting.length >= waitingMax) {
        throw new AppError("overloaded", `${name}: ${waitingMax} calls are waiting already; try again later`);
      }
      await new Promise<void>((resolve) => waiting.push(resolve));
    },
    leave() {
      const next = waiting.shift();
      // The place goes to the next one as it is: the count stays.
      if (next) return next();
      taken -= 1;
      if (taken === 0) for (const settle of whenEmpty.splice(0)) settle();
    },
    open() {
      taken += waiting.length;
      for (const next of waiting.splice(0)) next();
    },
    emptied: () => (taken === 0 ? Promise.resolve() : new Promise((resolve) => void whenEmpty.push(resolve))),
  };
}
