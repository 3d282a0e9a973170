import type { RateLimit } from "@tollgate/connectors";

/** When requests of a rate may leave; times in Unix milliseconds. */
export interface RequestRate {
  /** Takes the next place. Gives how long it is until then. */
  take(now: number): number;
  /** Of one that was taken and not used. */
  giveBack(): void;
}

/** A bucket of `burst` places, of which one is filled again every `perMs / requests` (GCRA). */
export function createRequestRate({ requests, perMs, burst }: Omit<RateLimit, "waitingMax">): RequestRate {
  const intervalMs = perMs / requests;
  /** When the bucket will be full. */
  let fullAt = 0;
  return {
    take(now) {
      const waitMs = Math.max(0, fullAt - now - (burst - 1) * intervalMs);
      fullAt = Math.max(fullAt, now) + intervalMs;
      return waitMs;
    },
    giveBack: () => void (fullAt -= intervalMs),
  };
}
