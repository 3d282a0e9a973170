import type { Leases } from "../domain/leases.ts";

interface Waiter {
  readonly revision: number;
  readonly untilMs: number;
  readonly settle: (isOver: boolean) => void;
  timer: NodeJS.Timeout | undefined;
}

/** Those who wait until nobody can act on a revision older than theirs. */
export interface LeaseWaits {
  /** False when it takes longer than `maxMs`. */
  until(revision: number, maxMs: number): Promise<boolean>;
  /** To be called when a gateway answered or left. */
  check(): void;
  /** Lets everybody go: the answer will not come. */
  abandon(): void;
}

export function createLeaseWaits(leases: Pick<Leases, "heldUntil">): LeaseWaits {
  const waiters = new Set<Waiter>();

  function checkOne(waiter: Waiter): void {
    clearTimeout(waiter.timer);
    const nowMs = performance.now();
    const heldUntilMs = leases.heldUntil(waiter.revision);
    if (heldUntilMs <= nowMs) return finish(waiter, true);
    if (waiter.untilMs <= nowMs) return finish(waiter, false);
    const waitMs = Math.min(heldUntilMs, waiter.untilMs) - nowMs;
    waiter.timer = setTimeout(() => checkOne(waiter), Math.ceil(waitMs));
  }

  function finish(waiter: Waiter, isOver: boolean): void {
    clearTimeout(waiter.timer);
    waiters.delete(waiter);
    waiter.settle(isOver);
  }

  return {
    until: (revision, maxMs) =>
      new Promise((settle) => {
        const waiter: Waiter = { revision, untilMs: performance.now() + maxMs, settle, timer: undefined };
        waiters.add(waiter);
        checkOne(waiter);
      }),
    check: () => waiters.forEach(checkOne),
    abandon: () => waiters.forEach((waiter) => finish(waiter, false)),
  };
}
