import type { CallEnvelope } from "@tollgate/contracts";

/** A server gets the same call so often at the most: it may be what kills its processes. */
export const HANDED_OVER_MAX = 3;
/** How often a call waits for its server to be there again; the last time for about three seconds. */
export const WAITS_MAX = 6;
const BACKOFF_MIN_MS = 100;

/** How long a call waits before it is tried again. Spread, so that those that a process took with it do not come back in step. */
export function backoffMs(waited: number, random: number): number {
  return Math.round(BACKOFF_MIN_MS * 2 ** waited * (0.75 + random / 2));
}

/** Whether all that a call may have run may be run again: nobody knows which of its tools a lost runner had got to. */
export function mayRunAgain({ retrySafe, fallbacks }: Pick<CallEnvelope, "retrySafe" | "fallbacks">): boolean {
  return retrySafe && (fallbacks === undefined || fallbacks.every((each) => each.retrySafe));
}
