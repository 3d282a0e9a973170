/** Failures of one address within the window that are answered at once. */
export const FREE_FAILURES = 10;
export const WINDOW_MS = 60_000;
const DELAY_MIN_MS = 100;
const DELAY_MAX_MS = 5_000;
/** Answers of one address that are held back at a time; what comes beyond is refused at once. */
export const HELD_MAX = 20;
/** Of all addresses. */
const HELD_IN_ALL_MAX = 1_000;
export const ALERT_FAILURES = 50;
const ALERT_INTERVAL_MS = 10 * 60_000;
const ADDRESSES_MAX = 10_000;

interface Address {
  /** When it failed, the newest last; as many as make a difference. */
  readonly at: number[];
  held: number;
  alertedAt: number;
}

/** What becomes of a failed authentication. */
export interface Verdict {
  /** For how long its answer is held back; undefined: it is refused at once. */
  readonly delayMs: number | undefined;
  /** Somebody has to look at this address now. */
  readonly alert: boolean;
}

export interface Failures {
  /** Whoever is held back is given back with `released`. */
  failed(network: string, nowMs: number): Verdict;
  released(network: string): void;
  readonly size: number;
}

/**
 * Whoever guesses is slowed, more and more, and whoever guesses in many connections at once is refused. Counted by
 * address; one that has a good token beside the bad ones is never asked here. Of too many addresses the one that has
 * failed longest ago is forgotten.
 */
export function createFailures(): Failures {
  const addresses = new Map<string, Address>();
  let heldInAll = 0;

  function remember(network: string): Address {
    const known = addresses.get(network) ?? { at: [], held: 0, alertedAt: -Infinity };
    // Insertion order makes the first key the one that has failed longest ago.
    addresses.delete(network);
    if (addresses.size >= ADDRESSES_MAX) forget(addresses.keys().next().value!);
    addresses.set(network, known);
    return known;
  }

  function forget(network: string): void {
    heldInAll -= addresses.get(network)!.held;
    addresses.delete(network);
  }

  return {
    failed(network, nowMs) {
      const address = remember(network);
      const { at } = address;
      while (at.length > 0 && at[0]! <= nowMs - WINDOW_MS) at.shift();
      if (at.push(nowMs) > ALERT_FAILURES) at.shift();
      const alert = at.length >= ALERT_FAILURES && nowMs - address.alertedAt >= ALERT_INTERVAL_MS;
      if (alert) address.alertedAt = nowMs;
      const beyond = at.length - FREE_FAILURES;
      if (beyond <= 0) return { delayMs: 0, alert };
      if (address.held >= HELD_MAX || heldInAll >= HELD_IN_ALL_MAX) return { delayMs: undefined, alert };
      address.held += 1;
      heldInAll += 1;
      return { delayMs: Math.min(DELAY_MIN_MS * 2 ** (beyond - 1), DELAY_MAX_MS), alert };
    },
    released(network) {
      const address = addresses.get(network);
      if (address === undefined || address.held === 0) return;
      address.held -= 1;
      heldInAll -= 1;
    },
    get size() {
      return addresses.size;
    },
  };
}
