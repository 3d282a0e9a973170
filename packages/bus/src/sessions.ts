import { setTimeout as delay } from "node:timers/promises";
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import type { Bus } from "./connection.ts";

const TTL_MS = 24 * 3_600_000;
const CACHE_MAX = 10_000;
const PAGE_MAX = 1_000;
const READS_MAX = 32;
/** Only replicas compete for a session, and one change of each at a time. */
const UPDATE_ATTEMPTS_MAX = 50;
const CONFLICT_PAUSE_MAX_MS = 20;
const KEY = /^[A-Za-z0-9_-]{1,128}$/;

/** Client sessions in NATS KV, so that any gateway replica serves any session. */
export interface SessionStore<S> {
  get(id: string): Promise<S | undefined>;
  put(id: string, session: S): Promise<void>;
  /** Changes what is stored, whoever else changes it at the same time. Returns what is stored then, if anything. */
  update(id: string, change: (session: S) => S): Promise<S | undefined>;
  delete(id: string): Promise<void>;
  /** What comes after the id `after` in the order of ids; at most 1,000 are looked through at a time. */
  list(after: string): Promise<SessionPage<S>>;
}

export interface SessionPage<S> {
  readonly items: readonly { readonly id: string; readonly session: S; readonly changedAtMs: number }[];
  /** Undefined where there are no more. */
  readonly next: string | undefined;
}

interface Kept<S> {
  readonly session: S;
  readonly revision: number;
  /** Unix milliseconds at which the store forgets it, without a word on the watch. */
  readonly until: number;
}

/**
 * What this replica used lately is kept in memory; a watch drops what another replica has changed or ended. Sessions
 * end after 24 hours without being written.
 *
 * Revisions count the bucket's changes, and the watch brings all of them in that order. What was read or written may
 * be older than what the watch has brought meanwhile, and is kept only where it cannot be.
 */
export async function openSessions<S>(
  bus: Bus,
  signal: AbortSignal,
  /** A session was changed or ended, here or elsewhere. */
  onChange: (id: string) => void = () => undefined,
  bucket: string = bus.subjects.sessionsBucket,
): Promise<SessionStore<S>> {
  const kv = await new Kvm(bus.js).create(bucket, { ttl: TTL_MS, history: 1 });
  const cache = new Map<string, Kept<S>>();
  /** The last change under way of each session. */
  const updating = new Map<string, Promise<void>>();
  let seenRevision = 0;

  const changes = await kv.watch({ headers_only: true, include: "updates" });
  signal.addEventListener("abort", () => changes.stop(), { once: true });
  void (async () => {
    for await (const { key, revision } of changes) {
      seenRevision = revision;
      const kept = cache.get(key);
      if (kept !== undefined && kept.revision < revision) cache.delete(key);
      onChange(key);
    }
  })();

  function remember(id: string, kept: Kept<S>): void {
    // Insertion order makes the first key the one that was remembered longest ago.
    if (cache.size >= CACHE_MAX) cache.delete(cache.keys().next().value!);
    cache.set(id, kept);
  }

  async function update(id: string, change: (session: S) => S): Promise<S | undefined> {
    for (let attempt = 1; ; attempt++) {
      const entry = await kv.get(id);
      if (entry === null || entry.operation !== "PUT") return undefined;
      const session = change(entry.json<S>());
      cache.delete(id);
      try {
        const revision = await kv.update(id, JSON.stringify(session), entry.revision);
        if (revision >= seenRevision) remember(id, { session, revision, until: Date.now() + TTL_MS });
        return session;
      } catch (error) {
        // Another replica was faster: its change stays, and ours comes on top.
        if (!isConflict(error) || attempt === UPDATE_ATTEMPTS_MAX) throw error;
        // By chance, and longer each time: two replicas in step would let the same one win again and again.
        await delay(Math.random() * Math.min(attempt, CONFLICT_PAUSE_MAX_MS));
      }
    }
  }

  async function list(after: string): Promise<SessionPage<S>> {
    const ids: string[] = [];
    for await (const id of await kv.keys()) if (id > after) ids.push(id);
    const page = ids.toSorted().slice(0, PAGE_MAX);
    const items: SessionPage<S>["items"][number][] = [];
    for (let from = 0; from < page.length; from += READS_MAX) {
      const entries = await Promise.all(page.slice(from, from + READS_MAX).map((id) => kv.get(id)));
      for (const entry of entries)
        if (entry?.operation === "PUT")
          items.push({ id: entry.key, session: entry.json<S>(), changedAtMs: entry.created.getTime() });
    }
    return { items, next: ids.length > PAGE_MAX ? page.at(-1) : undefined };
  }

  return {
    list,
    async get(id) {
      if (!KEY.test(id)) return undefined;
      const kept = cache.get(id);
      if (kept !== undefined && kept.until > Date.now()) return kept.session;
      const seenBefore = seenRevision;
      const entry = await kv.get(id);
      if (entry === null || entry.operation !== "PUT") return undefined;
      const session = entry.json<S>();
      const { revision, created } = entry;
      if (seenRevision === seenBefore || revision >= seenRevision)
        remember(id, { session, revision, until: created.getTime() + TTL_MS });
      return session;
    },
    async put(id, session) {
      cache.delete(id);
      const revision = await kv.put(id, JSON.stringify(session));
      if (revision >= seenRevision) remember(id, { session, revision, until: Date.now() + TTL_MS });
    },
    update(id, change) {
      if (!KEY.test(id)) return Promise.resolve(undefined);
      // One after the other: changes of one replica would else be in each other's way, and some would find no place.
      const before = updating.get(id) ?? Promise.resolve();
      const updated = before.then(() => update(id, change));
      const settled = updated.then(
        () => undefined,
        () => undefined,
      );
      updating.set(id, settled);
      void settled.then(() => updating.get(id) === settled && updating.delete(id));
      return updated;
    },
    async delete(id) {
      if (!KEY.test(id)) return;
      await kv.delete(id);
      cache.delete(id);
    },
  };
}

function isConflict(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamWrongLastSequence;
}
