/** Permits that this gateway has got from policy, and what it has to tell policy about them. Monotonic milliseconds. */
export interface HeldPermits {
  /** One of each, or none at all. */
  take(keys: readonly string[], nowMs: number): boolean;
  /** Those of a call that was not let in after all. `isCurrent`: they may still be used. */
  putBack(keys: readonly string[], options: { isCurrent: boolean; nowMs: number }): void;
  /** A call has ended, and its places are free. */
  leave(keys: readonly string[], nowMs: number): void;
  /** Why one of the keys has nothing, as policy has said a moment ago. */
  refusalOf(keys: readonly string[], nowMs: number): Refusal | undefined;
  /** What to ask of policy: for those that wait, and what is due to be renewed or returned. */
  ask(waiting: readonly (readonly string[])[], nowMs: number): Ask[];
  /** What was asked at `askedAtMs` was answered. `isCurrent`: under the revision that holds now. */
  granted(answers: readonly Granted[], options: { isCurrent: boolean; askedAtMs: number; nowMs: number }): void;
  /** Nobody knows what has become of it. */
  unanswered(asked: readonly Ask[]): void;
  /** Under a new revision nothing may be used that came under an older one. */
  drop(nowMs: number): void;
  readonly size: number;
}

export interface Ask {
  readonly key: string;
  readonly wanted: number;
  readonly waiting: number;
  readonly held: number;
  readonly returned: number;
}

export interface Grant {
  readonly granted: number;
  readonly leaseMs: number;
  readonly retryAfterMs: number;
  readonly reason: string;
}
export interface Granted {
  readonly asked: Ask;
  readonly grant: Grant;
}

export interface Refusal {
  readonly retryAfterMs: number;
  readonly reason: string;
}

/** At most so many in one request. */
export const ASKS_MAX = 1_000;
const WANTED_MAX = 10_000;
/** How long it is taken for granted that there is still nothing. */
const REFUSED_MS = 100;
/** Places are kept alive by telling of them. */
const RENEW_MS = 500;
/** Permits of a day that nobody has wanted for so long are returned, and so is what is known of an idle key. */
const IDLE_MS = 1_000;
/** What is returned has to arrive on the day that it is of. */
const RETURN_LEAST_MS = 5_000;

interface Held {
  /** `slot`: places of calls under way; `day`: to be returned when not used; others are simply void after a while. */
  readonly kind: string;
  /** May be used until `endsAtMs`. */
  permits: number;
  endsAtMs: number;
  /** Places that calls of this gateway have. */
  busy: number;
  returning: number;
  /** How many were used since policy was asked last: what is wanted next grows with it. */
  used: number;
  usedAtMs: number;
  /** When policy was told last of places. */
  toldAtMs: number;
  /** What policy was told of its places is not so any more. */
  isToTell: boolean;
  refused: (Refusal & { readonly untilMs: number }) | undefined;
}

/** @param keysMax beyond it calls under limits that are not known yet find nothing */
export function createHeldPermits({ keysMax }: { readonly keysMax: number }): HeldPermits {
  const all = new Map<string, Held>();

  function heldOf(key: string, nowMs: number): Held | undefined {
    const known = all.get(key);
    if (known !== undefined || all.size >= keysMax) return known;
    const counts = { permits: 0, busy: 0, returning: 0, used: 0 };
    const times = { endsAtMs: 0, usedAtMs: nowMs, toldAtMs: 0 };
    const held = { kind: key.slice(0, key.indexOf("|")), ...counts, ...times, isToTell: false, refused: undefined };
    all.set(key, held);
    return held;
  }

  return {
    take(keys, nowMs) {
      for (const key of keys) {
        const held = all.get(key);
        if (held === undefined || held.permits === 0 || nowMs >= held.endsAtMs) return false;
      }
      for (const key of keys) {
        const held = all.get(key)!;
        held.permits -= 1;
        held.used += 1;
        held.usedAtMs = nowMs;
        if (held.kind === "slot") held.busy += 1;
      }
      return true;
    },
    putBack(keys, { isCurrent, nowMs }) {
      for (const key of keys) {
        const held = all.get(key);
        if (held === undefined) continue;
        if (held.kind === "slot") free(held, nowMs);
        else if (isCurrent) held.permits += 1;
        else if (held.kind === "day") returnLater(held, 1, nowMs);
      }
    },
    leave(keys, nowMs) {
      for (const key of keys) {
        const held = all.get(key);
        if (held?.kind === "slot") free(held, nowMs);
      }
    },
    refusalOf(keys, nowMs) {
      for (const key of keys) {
        const held = all.get(key);
        const isThere = held !== undefined && held.permits > 0 && nowMs < held.endsAtMs;
        if (!isThere && held?.refused !== undefined && nowMs < held.refused.untilMs) return held.refused;
      }
      return undefined;
    },
    ask(waiting, nowMs) {
      const wanting = new Map<string, number>();
      for (const keys of waiting) {
        for (const key of keys) {
          const held = heldOf(key, nowMs);
          if (held !== undefined) wanting.set(key, (wanting.get(key) ?? 0) + 1);
        }
      }
      const asks = [...wanting].map(([key, count]) => askFor(key, all.get(key)!, { count, nowMs }));
      for (const [key, held] of all) {
        if (wanting.has(key)) continue;
        if (isDue(held, nowMs)) asks.push(askFor(key, held, { count: 0, nowMs }));
        else if (isIdle(held, nowMs)) all.delete(key);
        if (asks.length >= ASKS_MAX) break;
      }
      return asks.filter((each): each is Ask => each !== undefined).slice(0, ASKS_MAX);
    },
    granted(answers, { isCurrent, askedAtMs, nowMs }) {
      for (const { asked, grant } of answers) {
        const held = all.get(asked.key);
        if (held !== undefined) receive(held, { asked, grant, isCurrent, askedAtMs, nowMs });
      }
    },
    unanswered(asked) {
      for (const { key } of asked) {
        const held = all.get(key);
        if (held?.kind === "slot") held.isToTell = true;
      }
    },
    drop(nowMs) {
      for (const held of all.values()) {
        if (held.kind === "day") returnLater(held, held.permits, nowMs);
        held.permits = 0;
        if (held.kind !== "day") held.endsAtMs = 0;
        held.refused = undefined;
        held.isToTell = held.kind === "slot";
      }
    },
    get size() {
      return all.size;
    },
  };
}

/** A place that policy does not leave to this gateway any more is not used again. */
function free(held: Held, nowMs: number): void {
  held.busy -= 1;
  if (nowMs < held.endsAtMs) held.permits += 1;
  else held.isToTell = true;
}

function returnLater(held: Held, count: number, nowMs: number): void {
  if (held.endsAtMs - nowMs > RETURN_LEAST_MS) held.returning += count;
}

function isDue(held: Held, nowMs: number): boolean {
  if (held.kind !== "slot") return held.returning > 0 || (held.kind === "day" && isUnused(held, nowMs));
  const { isToTell, busy, permits, toldAtMs } = held;
  if (isToTell || (permits > 0 && nowMs - held.usedAtMs >= RENEW_MS)) return true;
  return busy + permits > 0 && nowMs - toldAtMs >= RENEW_MS;
}

const isUnused = ({ permits, usedAtMs }: Held, nowMs: number): boolean => permits > 0 && nowMs - usedAtMs >= IDLE_MS;

function isIdle({ kind, busy, permits, returning, usedAtMs, endsAtMs }: Held, nowMs: number): boolean {
  const isEmpty = permits === 0 || (nowMs >= endsAtMs && kind !== "slot");
  return isEmpty && busy === 0 && returning === 0 && nowMs - usedAtMs >= IDLE_MS;
}

/** What is not wanted any more leaves this gateway before policy hears of it. */
function askFor(key: string, held: Held, { count, nowMs }: { count: number; nowMs: number }): Ask {
  if (held.kind === "day" && isUnused(held, nowMs) && count === 0) {
    returnLater(held, held.permits, nowMs);
    held.permits = 0;
  }
  // Places that have found nobody since policy was told last are free for others.
  if (held.kind === "slot" && count === 0) held.permits = Math.min(held.permits, held.used);
  const returned = Math.min(held.returning, WANTED_MAX);
  held.returning -= returned;
  const waiting = Math.min(count, WANTED_MAX);
  const wanted = count === 0 ? 0 : Math.min(waiting + 2 * held.used, WANTED_MAX);
  held.used = 0;
  held.toldAtMs = nowMs;
  held.isToTell = false;
  return { key, wanted, waiting, held: held.kind === "slot" ? held.busy + held.permits : 0, returned };
}

function receive(
  held: Held,
  answer: Granted & { readonly isCurrent: boolean; readonly askedAtMs: number; readonly nowMs: number },
): void {
  const { asked, isCurrent, askedAtMs, nowMs } = answer;
  const { granted, leaseMs, retryAfterMs, reason } = answer.grant;
  if (!isCurrent) {
    if (held.kind === "day" && leaseMs > RETURN_LEAST_MS) held.returning += granted;
    held.isToTell = held.kind === "slot";
    return;
  }
  const isOther = held.kind === "day" ? nowMs >= held.endsAtMs : held.kind !== "slot";
  if (asked.wanted > 0) held.permits = (isOther ? 0 : held.permits) + granted;
  // Places: 0 where more are taken than there are, so that they are not used again when they become free.
  if (asked.wanted > 0 || held.kind === "slot") held.endsAtMs = askedAtMs + leaseMs;
  const isRefused = granted < asked.waiting;
  held.refused = isRefused ? { reason, retryAfterMs, untilMs: nowMs + Math.min(retryAfterMs, REFUSED_MS) } : undefined;
}
