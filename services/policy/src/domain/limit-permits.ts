// Permits that gateways take in batches. All times are monotonic milliseconds.

/** A gateway may use a permit for so long, counted from before it was given. */
const RATE_LEASE_MS = 500;
/** After so long without a word the places of a gateway's calls are free again. Gateways renew many times meanwhile. */
export const SLOT_LEASE_MS = 3_000;
const SLOT_RETRY_MS = 1_000;
/** Of what is left at most this part goes to a gateway before its calls want it. */
const SPARE_PART = 0.1;

export interface Wanted {
  /** At least as many as wait. */
  readonly wanted: number;
  /** Whose permits are used at once. */
  readonly waiting: number;
}

export interface Permits {
  readonly granted: number;
  readonly leaseMs: number;
  /** 0 where all that wait have got theirs. */
  readonly retryAfterMs: number;
}

/** For those that wait as far as there is, and some to spare as long as much is left. */
export function batchOf(left: number, { wanted, waiting }: Wanted): number {
  const now = Math.max(0, Math.min(waiting, left));
  const spare = Math.floor((left - now) * SPARE_PART);
  return now + Math.max(0, Math.min(wanted - waiting, spare));
}

interface Bucket {
  tokens: number;
  atMs: number;
  /** Spare permits that some gateway may still use. */
  spare: { readonly count: number; readonly untilMs: number }[];
}

/**
 * Token buckets. Invariant: tokens and spare permits that may still be used are never more than the burst together, so
 * that in any stretch of time t no more calls are let in than burst + rate × t. It holds because permits for those that
 * wait are used when they are given, and spare ones leave the bucket but keep its level down until they are void.
 * Every bucket was empty when this process began: what the one before has given is not given again.
 */
export function createRates({ beganAtMs, keysMax }: { readonly beganAtMs: number; readonly keysMax: number }) {
  const buckets = new Map<string, Bucket>();

  /** Undefined where there is no room for another. */
  function bucketOf(key: string, rate: Rate, nowMs: number): Bucket | undefined {
    const known = buckets.get(key);
    if (known !== undefined) return known;
    if (buckets.size >= keysMax) return undefined;
    const bucket = { tokens: 0, atMs: beganAtMs, spare: [] };
    buckets.set(key, bucket);
    refill(bucket, rate, nowMs);
    return bucket;
  }

  return {
    lease(key: string, rate: Rate, { wanted, waiting }: Wanted, nowMs: number): Permits {
      const bucket = bucketOf(key, rate, nowMs);
      if (bucket === undefined) return { granted: 0, leaseMs: 0, retryAfterMs: RATE_LEASE_MS };
      refill(bucket, rate, nowMs);
      const now = Math.min(waiting, Math.floor(bucket.tokens));
      // No more than half of the burst is ever out to spare, or the bucket could not fill.
      const free = bucket.tokens - now - rate.burst / 2;
      const spare = Math.max(0, Math.min(wanted - waiting, Math.floor(free / 2)));
      bucket.tokens -= now + spare;
      if (spare > 0) bucket.spare.push({ count: spare, untilMs: nowMs + RATE_LEASE_MS });
      const retryAfterMs = now < waiting ? Math.ceil(((1 - bucket.tokens) / rate.perSecond) * 1_000) : 0;
      return { granted: now + spare, leaseMs: RATE_LEASE_MS, retryAfterMs: Math.max(0, retryAfterMs) };
    },
    /** Forgets those that are full: a new one would be as full. */
    sweep(rateOf: (key: string) => Rate | undefined, nowMs: number): void {
      for (const [key, bucket] of buckets) {
        const rate = rateOf(key);
        if (rate !== undefined) refill(bucket, rate, nowMs);
        if (rate === undefined ? bucket.spare.length === 0 : bucket.tokens >= rate.burst) buckets.delete(key);
      }
    },
    get size() {
      return buckets.size;
    },
  };
}

export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

function refill(bucket: Bucket, { perSecond, burst }: Rate, nowMs: number): void {
  let out = bucket.spare.reduce((sum, { count }) => sum + count, 0);
  const fill = (untilMs: number): void => {
    const more = (Math.max(0, untilMs - bucket.atMs) / 1_000) * perSecond;
    bucket.tokens = Math.min(Math.max(0, burst - out), bucket.tokens + more);
    bucket.atMs = Math.max(bucket.atMs, untilMs);
  };
  // From one end to the next: what was full while spare permits kept it low has not filled up meanwhile.
  const voided = bucket.spare.filter(({ untilMs }) => untilMs <= nowMs);
  for (const { count, untilMs } of voided) {
    fill(untilMs);
    out -= count;
  }
  bucket.spare = bucket.spare.slice(voided.length);
  fill(nowMs);
}

/**
 * Places of calls under way. A gateway says what it holds, and so renews it; what it does not renew is free again after
 * the lease. In its first moments this process does not know yet what gateways hold, and gives nothing.
 */
export function createSlots({ beganAtMs, keysMax }: { readonly beganAtMs: number; readonly keysMax: number }) {
  const held = new Map<string, Map<string, { readonly count: number; readonly untilMs: number }>>();

  return {
    lease(
      key: string,
      max: number,
      { gateway, held: own, ...wanted }: Wanted & { readonly gateway: string; readonly held: number },
      nowMs: number,
    ): Permits {
      const holders = held.get(key) ?? new Map<string, { count: number; untilMs: number }>();
      let others = 0;
      for (const [holder, { count, untilMs }] of holders) {
        if (untilMs <= nowMs) holders.delete(holder);
        else if (holder !== gateway) others += count;
      }
      const knownFromMs = beganAtMs + SLOT_LEASE_MS;
      const isFull = held.size >= keysMax && !held.has(key);
      const left = nowMs < knownFromMs || isFull ? 0 : max - others - own;
      const granted = batchOf(Math.max(0, left), wanted);
      if (own + granted > 0) holders.set(gateway, { count: own + granted, untilMs: nowMs + SLOT_LEASE_MS });
      else holders.delete(gateway);
      if (holders.size > 0) held.set(key, holders);
      else held.delete(key);
      const retryAfterMs = granted < wanted.waiting ? Math.max(SLOT_RETRY_MS, Math.ceil(knownFromMs - nowMs)) : 0;
      // Where there are more than there may be now, what becomes free is not used again.
      return { granted, leaseMs: left < 0 ? 0 : SLOT_LEASE_MS, retryAfterMs };
    },
    sweep(nowMs: number): void {
      for (const [key, holders] of held)
        if ([...holders.values()].every(({ untilMs }) => untilMs <= nowMs)) held.delete(key);
    },
    get size() {
      return held.size;
    },
  };
}
