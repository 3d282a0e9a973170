import { type Bus, publishUpdate, subscribeInterests } from "@tollgate/bus";
import type { Interest } from "@tollgate/contracts";
import type { NotificationFrame } from "@tollgate/mcp";
import type { Life } from "@tollgate/service";
import type { Pool, ResourceListener } from "../pool/pool.ts";

/** Gateways say every ten seconds what their clients want to hear of. */
const FORGOTTEN_AFTER_MS = 35_000;
const SWEEP_MS = 1_000;
/** Of one server and tenant; more are not heard of. */
const URIS_MAX = 10_000;

export interface Interests {
  followGroup(group: string): void;
}

interface Wanted {
  readonly tenant: string;
  readonly server: string;
  /** When each was last asked for, by session ("" for none) and uri. */
  readonly askedAt: Map<string, Map<string, number>>;
}

/** Which resources clients want to hear of, kept up to date in the pools. */
export function createInterests(options: {
  bus: Bus;
  poolOf: (server: string) => Pool | undefined;
  life: Life;
}): Interests {
  const { bus, poolOf, life } = options;
  const all = new Map<string, Wanted>();

  function take({ tenant, server, uris, session = "" }: Interest): void {
    const key = `${tenant}\n${server}`;
    const wanted = all.get(key) ?? { tenant, server, askedAt: new Map() };
    all.set(key, wanted);
    const ofSession = wanted.askedAt.get(session) ?? new Map<string, number>();
    wanted.askedAt.set(session, ofSession);
    for (const uri of uris) if (ofSession.size < URIS_MAX || ofSession.has(uri)) ofSession.set(uri, Date.now());
    tellPool(wanted);
  }

  function tellPool({ tenant, server, askedAt }: Wanted): void {
    const bySession = new Map([...askedAt].map(([session, uris]) => [session, new Set(uris.keys())]));
    const everybody = new Set([...bySession.values()].flatMap((uris) => [...uris]));
    poolOf(server)?.hearOf({ tenant, uris: everybody, bySession });
  }

  function forgetOld(): void {
    const before = Date.now() - FORGOTTEN_AFTER_MS;
    for (const [key, wanted] of all) {
      let changed = false;
      for (const [session, uris] of wanted.askedAt) {
        for (const [uri, at] of uris) if (at < before) changed = uris.delete(uri);
        if (uris.size === 0) wanted.askedAt.delete(session);
      }
      if (changed) tellPool(wanted);
      if (wanted.askedAt.size === 0) all.delete(key);
    }
  }

  const sweep = setInterval(forgetOld, SWEEP_MS);
  life.onClose("interests timer", 100, () => clearInterval(sweep));
  return { followGroup: (group) => subscribeInterests(bus, group, take) };
}

/** Tells gateways that a resource has changed. */
export function createUpdates(bus: Bus): (server: string) => ResourceListener {
  return (server) =>
    ({ tenant, session }, frame: NotificationFrame) => {
      const uri = frame.params?.["uri"];
      if (typeof uri !== "string") return;
      const envelope = { tenant, server, uri, ...(session === undefined ? {} : { session }) };
      publishUpdate(bus, { envelope, frame: frame.text });
    };
}
