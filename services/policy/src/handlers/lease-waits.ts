import type { Leases } from "../domain/leases.ts";

interface Waiter {
  readonly revision: number;
  readonly settle: () => void;
  timer: NodeJS.Timeout | undefined;
}

/** Those who wait until nobody can act on a revision older than theirs. */
export interface LeaseWaits {
  until(revision: number): Promise<void>;
  /** To be called when a gateway answered or left. */
  check(): void;
  /** Lets everybody go: the answer will not come. */
  abandon(): void;
}

export function createLeaseWaits(leases: Leases): LeaseWaits {
  const waiters = new Set<Waiter>();

  /** The end of the last lease on an older revision only ever comes nearer, so looking again at that time is enough. */
  function checkOne(waiter: Waiter): void {
    clearTimeout(waiter.timer);
    const remainingMs = leases.heldUntil(waiter.revision) - performance.now();
    if (remainingMs > 0) waiter.timer = setTimeout(() => checkOne(waiter), Math.ceil(remainingMs));
    else finish(waiter);
  }

  function finish(waiter: Waiter): void {
    clearTimeout(waiter.timer);
    waiters.delete(waiter);
    waiter.settle();
  }

  return {
    until: (revision) =>
      new Promise((settle) => {
        const waiter: Waiter = { revision, settle, timer: undefined };
        waiters.add(waiter);
        checkOne(waiter);
      }),
    check: () => waiters.forEach(checkOne),
    abandon: () => waiters.forEach(finish),
  };
}
