import type { Hold, HoldScope } from "./holds.ts";

const DAY_MS = 86_400_000;

/** Events of one chain with the numbers from + 1 to `to`, which one checkpoint covers. Times are Unix milliseconds. */
export interface Segment {
  readonly tenant: string;
  readonly kind: string;
  readonly from: number;
  readonly to: number;
  readonly firstTimeMs: number;
  readonly lastTimeMs: number;
}

/** Events before this are not kept. It moves once a day, so that a chain is cut once a day and not all the time. */
export function keptFromMs(days: number, nowMs: number): number {
  return Math.floor(nowMs / DAY_MS) * DAY_MS - days * DAY_MS;
}

/** The hold that keeps something of the segment. */
export function holdOf(segment: Segment, holds: readonly Hold[]): Hold | undefined {
  return holds.find((hold) => hold.released === undefined && covers(hold, segment));
}

function covers(hold: HoldScope, { tenant, kind, firstTimeMs, lastTimeMs }: Segment): boolean {
  if (hold.tenant !== "" && hold.tenant !== tenant) return false;
  if (hold.kind !== "" && hold.kind !== kind) return false;
  return (hold.fromMs ?? -Infinity) <= lastTimeMs && firstTimeMs < (hold.toMs ?? Infinity);
}

/**
 * The segments, of a chain's oldest ones, that may be let go of. A chain keeps its end: at the first that has to be kept,
 * for its age or by a hold, all behind it is kept as well.
 */
export function segmentsToCut<T extends Segment>(oldest: readonly T[], keptFrom: number, holds: readonly Hold[]): T[] {
  const end = oldest.findIndex((segment) => segment.lastTimeMs >= keptFrom || holdOf(segment, holds) !== undefined);
  return end === -1 ? [...oldest] : oldest.slice(0, end);
}
