import type { BreakerState } from "@tollgate/contracts";

const IN_A_ROW_MAX = 5;
const WINDOW = 20;
/** Of the window, when it is full. */
const BAD_SHARE_MAX = 0.5;
const OPEN_MIN_MS = 10_000;
const OPEN_MAX_MS = 60_000;
/** Until the one call that was let through may be back. */
const PROBE_MS = 1_000;

/**
 * A circuit breaker. Closed: everything passes, until calls go badly in a row, or half of the last ones did. Open:
 * nothing passes, for a while that doubles each time. Half-open: one call is let through; when it goes well the breaker
 * closes, else it opens again.
 */
export interface Breaker {
  readonly state: BreakerState;
  /** Nothing in it is worth being remembered. */
  readonly clean: boolean;
  /** Why a call may not pass now, and for how long; undefined when it may. */
  refusal(now: number): { readonly reason: string; readonly waitMs: number } | undefined;
  /** A call passes that was not refused. */
  enter(): void;
  /** How a call went that has passed; undefined where nobody knows. `by`: what it was a call of. */
  leave(went: "well" | "badly" | undefined, now: number, by: string): void;
}

export function createBreaker(options: {
  /** Opens only when calls of more than one thing went badly: one bad tool has a breaker of its own. */
  severalOnly: boolean;
}): Breaker {
  /** The last calls: of which each that went badly was; undefined for those that went well. */
  let last: (string | undefined)[] = [];
  let inARow = 0;
  let openUntil: number | undefined;
  let openMs = OPEN_MIN_MS;
  let probing = false;
  let why = "";

  function isTooBad(): boolean {
    const bad = last.filter((each) => each !== undefined);
    if (options.severalOnly && new Set(bad).size < 2) return false;
    return inARow >= IN_A_ROW_MAX || (last.length >= WINDOW && bad.length >= WINDOW * BAD_SHARE_MAX);
  }

  function open(now: number): void {
    why = inARow >= IN_A_ROW_MAX ? `${inARow} failures in a row` : `half of the last ${WINDOW} calls failed`;
    openUntil = now + openMs;
    openMs = Math.min(openMs * 2, OPEN_MAX_MS);
    probing = false;
  }

  function close(): void {
    last = [];
    inARow = 0;
    openUntil = undefined;
    openMs = OPEN_MIN_MS;
    probing = false;
  }

  return {
    get state() {
      if (openUntil === undefined) return "closed";
      return probing ? "half-open" : "open";
    },
    get clean() {
      return openUntil === undefined && last.every((each) => each === undefined);
    },
    refusal(now) {
      if (openUntil === undefined || (now >= openUntil && !probing)) return undefined;
      return { reason: why, waitMs: Math.max(openUntil - now, PROBE_MS) };
    },
    enter() {
      probing = openUntil !== undefined;
    },
    leave(went, now, by) {
      if (openUntil !== undefined && now >= openUntil) {
        // The one that was let through, or one from before that comes late and says the same.
        if (went === "well") return close();
        if (went === undefined) probing = false;
        else {
          inARow += 1;
          open(now);
        }
        return;
      }
      if (went === undefined) return;
      last = [...last.slice(1 - WINDOW), went === "badly" ? by : undefined];
      inARow = went === "badly" ? inARow + 1 : 0;
      if (openUntil === undefined && isTooBad()) open(now);
    },
  };
}
