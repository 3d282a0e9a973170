const DAY_MS = 86_400_000;
/** Longer than any period. */
const LOOK_MS = { day: 2 * DAY_MS, month: 33 * DAY_MS } as const;

export type PeriodKind = keyof typeof LOOK_MS;

/** A day or month in a time zone. Unix milliseconds. */
export interface Period {
  /** 2026-11-21, or 2026-11. */
  readonly name: string;
  readonly beginsAtMs: number;
  /** The first moment that is no part of it. */
  readonly endsAtMs: number;
}

const NAME_CHARS = { day: 10, month: 7 } as const;

export function periodOf(kind: PeriodKind, timezone: string, nowMs: number): Period {
  // Of all locales this one writes dates as ISO 8601 does.
  const format = new Intl.DateTimeFormat("sv-SE", {
    timeZone: timezone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
  });
  const nameAt = (ms: number): string => format.format(ms).slice(0, NAME_CHARS[kind]);
  const name = nameAt(nowMs);
  /** Between a moment inside and one outside: the first of the two sides' border that is the later one's. */
  function border(earlier: number, later: number): number {
    const isEarlierInside = nameAt(earlier) === name;
    let [low, high] = [earlier, later];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if ((nameAt(middle) === name) === isEarlierInside) low = middle;
      else high = middle;
    }
    return high;
  }
  return {
    name,
    beginsAtMs: border(nowMs - LOOK_MS[kind], nowMs),
    endsAtMs: border(nowMs, nowMs + LOOK_MS[kind]),
  };
}

/** Looks each up once. */
export function createPeriods(): typeof periodOf {
  const known = new Map<string, Period>();
  return (kind, timezone, nowMs) => {
    const key = `${kind} ${timezone}`;
    const last = known.get(key);
    if (last !== undefined && last.beginsAtMs <= nowMs && nowMs < last.endsAtMs) return last;
    const period = periodOf(kind, timezone, nowMs);
    // As many as there are limits.
    known.set(key, period);
    return period;
  };
}
