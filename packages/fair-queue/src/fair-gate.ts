import { AppError } from "@tollgate/errors";
import { createFairQueue, type Share } from "./fair-queue.ts";

const RETRY_AFTER_SECONDS = 1;

/** What one key may have inside and waiting. */
export interface KeyLimits {
  readonly max: number;
  readonly waiting: number;
}

/** So many inside at the same time, in all and for each key; others wait, bounded in number and time, and take turns. */
export interface FairGate {
  readonly inside: number;
  readonly waiting: number;
  /**
   * Undefined when it could enter at once; else settles when it has, and rejects when it waited too long or `signal`
   * aborted. Whoever has entered calls `leave` with the same key, once.
   * @throws {AppError} `overloaded` when no more may wait
   */
  enter(share: Share, signal?: AbortSignal): Promise<void> | undefined;
  leave(key: string): void;
  /** Enters if that can be at once. */
  tryEnter(share: Share): boolean;
}

interface Waiter {
  readonly key: string;
  readonly enter: () => void;
}

export function createFairGate(options: {
  /** For messages: "calls of server files". */
  readonly name: string;
  readonly max: number;
  readonly limitsOf: (key: string) => KeyLimits;
  readonly waitMs: number;
  /** Why `key`, with so many inside, has to wait; for messages that can say more than "too many calls". */
  readonly reasonOf?: (key: string, inside: number) => string;
}): FairGate {
  const { name, max, limitsOf, waitMs, reasonOf = () => `there are too many ${name} already` } = options;
  const queue = createFairQueue<Waiter>();
  const insideOf = new Map<string, number>();
  let inside = 0;

  const hasRoom = (key: string) => inside < max && (insideOf.get(key) ?? 0) < limitsOf(key).max;

  const reasonFor = (key: string) => reasonOf(key, insideOf.get(key) ?? 0);

  function take(key: string): void {
    inside += 1;
    insideOf.set(key, (insideOf.get(key) ?? 0) + 1);
  }

  function tryEnter({ key }: Share): boolean {
    const enters = queue.sizeOf(key) === 0 && hasRoom(key);
    if (enters) take(key);
    return enters;
  }

  function wait(share: Share, signal: AbortSignal | undefined): Promise<void> {
    const { key } = share;
    return new Promise<void>((resolve, reject) => {
      const leaveQueue = queue.push({ key, enter: () => (settle(), resolve()) }, share);
      const giveUp = (error: unknown) => void (leaveQueue() && (settle(), reject(error)));
      const late = () => overloaded(`waited ${waitMs} ms: ${reasonFor(key)}`);
      const timer = setTimeout(() => giveUp(late()), waitMs);
      const onAbort = () => giveUp(signal!.reason);
      const settle = () => (clearTimeout(timer), signal?.removeEventListener("abort", onAbort));
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  return {
    get inside() {
      return inside;
    },
    get waiting() {
      return queue.size;
    },
    tryEnter,
    enter(share, signal) {
      const { key } = share;
      signal?.throwIfAborted();
      if (tryEnter(share)) return undefined;
      const { waiting } = limitsOf(key);
      if (queue.sizeOf(key) < waiting) return wait(share, signal);
      throw overloaded(`${reasonFor(key)}${waiting === 0 ? "" : `, and ${waiting} wait`}`);
    },
    leave(key) {
      inside -= 1;
      const own = insideOf.get(key)! - 1;
      if (own === 0) insideOf.delete(key);
      else insideOf.set(key, own);
      for (;;) {
        const next = inside < max ? queue.shift((waiter) => hasRoom(waiter.key)) : undefined;
        if (next === undefined) return;
        take(next.key);
        next.enter();
      }
    },
  };
}

function overloaded(reason: string): AppError {
  return new AppError("overloaded", `${reason}; try again in ${RETRY_AFTER_SECONDS} s`, {
    details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
  });
}
