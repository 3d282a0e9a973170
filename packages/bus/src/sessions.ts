import { Kvm } from "@nats-io/kv";
import type { Bus } from "./connection.ts";

const TTL_MS = 24 * 3_600_000;
const CACHE_MAX = 10_000;
const KEY = /^[A-Za-z0-9_-]{1,128}$/;

/** Client sessions in NATS KV, so that any gateway replica serves any session. */
export interface SessionStore<S> {
  get(id: string): Promise<S | undefined>;
  put(id: string, session: S): Promise<void>;
  delete(id: string): Promise<void>;
}

/**
 * What this replica used lately is kept in memory; a watch drops what another replica has ended. Sessions end after
 * 24 hours without being written.
 */
export async function openSessions<S>(bus: Bus, signal: AbortSignal): Promise<SessionStore<S>> {
  const kv = await new Kvm(bus.js).create(bus.subjects.sessionsBucket, { ttl: TTL_MS, history: 1 });
  const cache = new Map<string, S>();

  const changes = await kv.watch({ headers_only: true, include: "updates" });
  signal.addEventListener("abort", () => changes.stop(), { once: true });
  void (async () => {
    for await (const change of changes) if (change.operation !== "PUT") cache.delete(change.key);
  })();

  function remember(id: string, session: S): void {
    // Insertion order makes the first key the one that was remembered longest ago.
    if (cache.size >= CACHE_MAX) cache.delete(cache.keys().next().value!);
    cache.set(id, session);
  }

  return {
    async get(id) {
      if (!KEY.test(id)) return undefined;
      const known = cache.get(id);
      if (known !== undefined) return known;
      const entry = await kv.get(id);
      if (entry === null || entry.operation !== "PUT") return undefined;
      const session = entry.json<S>();
      remember(id, session);
      return session;
    },
    async put(id, session) {
      await kv.put(id, JSON.stringify(session));
      remember(id, session);
    },
    async delete(id) {
      cache.delete(id);
      if (KEY.test(id)) await kv.delete(id);
    },
  };
}
