/** How long a gateway may use decisions, counted from when it sent the request that the message echoes. */
export const LEASE_MS = 1_000;
/** Two machines' clocks do not run at quite the same rate. */
export const CLOCK_ALLOWANCE_MS = 20;
/** A gateway that leaves so many messages unanswered gets no further one until it answers, and so its lease ends. */
export const UNANSWERED_MAX = 3;

interface Watcher {
  /** When the request was received that the next message echoes. Monotonic milliseconds, as all times here. */
  askedAtMs: number;
  /** For each revision sent, the latest request that a message with it echoed; those older than `taken` are dropped. */
  granted: { readonly revision: number; readonly askedAtMs: number }[];
  taken: number;
  unanswered: number;
}

/**
 * Who may still act on which revision. Invariant: whoever uses a decision of a revision older than R is a watcher that
 * has not taken R, at a time before `heldUntil(R)`. It holds because
 * - a lease counts from when the gateway sent the request that is echoed, which is before that was received here,
 *   however long the message is on its way back;
 * - a gateway drops what it has cached before it answers a newer revision;
 * - revisions are sent in order, so once R was sent nothing renews an older one;
 * - a watcher that left is kept until its lease has run out: a lost connection does not end a lease;
 * - this process may have followed on one that gave leases, which counts as a watcher that left when this one began.
 */
export interface Leases {
  open(watcher: object, nowMs: number): void;
  mayBeSent(watcher: object): boolean;
  sent(watcher: object, revision: number): void;
  answered(watcher: object, takenRevision: number, nowMs: number): void;
  left(watcher: object, nowMs: number): void;
  /** When the last lease on a revision older than this one ends; 0 when there is none. */
  heldUntil(revision: number): number;
  /** How many are watching now. */
  readonly size: number;
}

export function createLeases(beganAtMs: number): Leases {
  const watching = new Map<object, Watcher>();
  const predecessor = {
    askedAtMs: beganAtMs,
    granted: [{ revision: 0, askedAtMs: beganAtMs }],
    taken: 0,
    unanswered: 0,
  };
  const departed = new Set<Watcher>([predecessor]);

  return {
    open: (key, nowMs) => void watching.set(key, { askedAtMs: nowMs, granted: [], taken: 0, unanswered: 0 }),
    mayBeSent: (key) => (watching.get(key)?.unanswered ?? UNANSWERED_MAX) < UNANSWERED_MAX,
    sent(key, revision) {
      const watcher = watching.get(key);
      if (watcher === undefined) return;
      const { askedAtMs, granted } = watcher;
      watcher.unanswered += 1;
      watcher.granted = [...granted.filter((each) => each.revision !== revision), { revision, askedAtMs }];
    },
    answered(key, takenRevision, nowMs) {
      const watcher = watching.get(key);
      if (watcher === undefined) return;
      // Nobody can have taken what was never sent.
      const newest = watcher.granted.at(-1)?.revision ?? 0;
      watcher.askedAtMs = nowMs;
      watcher.unanswered = Math.max(0, watcher.unanswered - 1);
      watcher.taken = Math.max(watcher.taken, Math.min(takenRevision, newest));
      watcher.granted = watcher.granted.filter((each) => each.revision >= watcher.taken);
    },
    left(key, nowMs) {
      const watcher = watching.get(key);
      if (watcher === undefined) return;
      watching.delete(key);
      for (const each of departed) if (endOf(each, Infinity) <= nowMs) departed.delete(each);
      departed.add(watcher);
    },
    heldUntil: (revision) =>
      Math.max(0, ...[...watching.values(), ...departed].map((watcher) => endOf(watcher, revision))),
    get size() {
      return watching.size;
    },
  };
}

function endOf(watcher: Watcher, revision: number): number {
  if (watcher.taken >= revision) return 0;
  const older = watcher.granted.filter((each) => each.revision < revision);
  return older.length === 0 ? 0 : Math.max(...older.map((each) => each.askedAtMs)) + LEASE_MS + CLOCK_ALLOWANCE_MS;
}
