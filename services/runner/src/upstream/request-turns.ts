import { setTimeout as sleep } from "node:timers/promises";
import type { RateLimit } from "@tollgate/connectors";
import { AppError } from "@tollgate/errors";
import { createRequestRate } from "../domain/request-rate.ts";

/** Waits until the next request may leave. @throws {AppError} `overloaded`; the reason of `signal` */
export type EnterTurn = (signal: AbortSignal) => Promise<void>;

export function createTurns(limit: RateLimit | undefined): EnterTurn {
  if (limit === undefined) return () => Promise.resolve();
  const { waitingMax, requests, perMs } = limit;
  const rate = createRequestRate(limit);
  let waiting = 0;
  return async (signal) => {
    const waitMs = rate.take(Date.now());
    if (waitMs === 0) return;
    if (waiting >= waitingMax) {
      rate.giveBack();
      const message = `too many calls: the API is asked ${requests} times in ${perMs / 1_000} s, and ${waiting} calls wait for that`;
      throw new AppError("overloaded", message, { details: { retryAfterSeconds: Math.ceil(waitMs / 1_000) } });
    }
    waiting += 1;
    try {
      await sleep(waitMs, undefined, { signal });
    } catch (error) {
      rate.giveBack();
      throw error;
    } finally {
      waiting -= 1;
    }
  };
}
