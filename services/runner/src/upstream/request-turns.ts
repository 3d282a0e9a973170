import type { RateLimit } from "@tollgate/connectors";
import { AppError } from "@tollgate/errors";
import { createFairQueue, type Share } from "@tollgate/fair-queue";
import { createRequestRate } from "../domain/request-rate.ts";

/** A tenant has no more than so many requests waiting for each place that is still free: others find some left. */
const WAITING_PER_FREE_PLACE_MAX = 3;

/** Waits until the next request may leave; tenants take turns. @throws {AppError} `overloaded`; the reason of `signal` */
export type EnterTurn = (share: Share, signal: AbortSignal) => Promise<void>;

export function createTurns(limit: RateLimit | undefined): EnterTurn {
  if (limit === undefined) return () => Promise.resolve();
  const { waitingMax, requests, perMs } = limit;
  const rate = createRequestRate(limit);
  const queue = createFairQueue<() => void>();
  /** Runs while somebody waits: until the next time of the rate, which is taken for whoever is first by then. */
  let timer: NodeJS.Timeout | undefined;

  function serve(): void {
    timer = undefined;
    let waitMs = 0;
    while (waitMs === 0) {
      queue.shift()!();
      if (queue.size === 0) return;
      waitMs = rate.take(Date.now());
    }
    timer = setTimeout(serve, Math.ceil(waitMs));
  }

  function wait(share: Share, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leaveQueue = queue.push(() => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      }, share);
      const onAbort = () => {
        leaveQueue();
        if (queue.size === 0) {
          clearTimeout(timer);
          timer = undefined;
          rate.giveBack();
        }
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  function overloaded(waitMs: number, own: number): AppError {
    const waiting = queue.size < waitingMax ? `${own} calls of the tenant` : `${queue.size} calls`;
    const message = `too many calls: the API is asked ${requests} times in ${perMs / 1_000} s, and ${waiting} wait for that`;
    const untilAllLeftMs = waitMs + (Math.max(0, queue.size - 1) * perMs) / requests;
    return new AppError("overloaded", message, { details: { retryAfterSeconds: Math.ceil(untilAllLeftMs / 1_000) } });
  }

  return async (share, signal) => {
    signal.throwIfAborted();
    const waitMs = rate.take(Date.now());
    if (timer === undefined && waitMs === 0) return;
    const own = queue.sizeOf(share.key);
    const isFull = own >= WAITING_PER_FREE_PLACE_MAX * (waitingMax - queue.size);
    // Whose turn comes when is not known before.
    if (isFull || timer !== undefined) rate.giveBack();
    if (isFull) throw overloaded(waitMs, own);
    timer ??= setTimeout(serve, Math.ceil(waitMs));
    return wait(share, signal);
  };
}
