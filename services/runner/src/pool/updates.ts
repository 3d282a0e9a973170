import type { NotificationFrame } from "@tollgate/mcp";
import type { Slot } from "./slots.ts";

/** Resources of a server that clients of a tenant want to hear of. */
export interface WantedUpdates {
  readonly tenant: string;
  readonly uris: ReadonlySet<string>;
  /** Those of them that sessions want, which may have connections of their own. */
  readonly bySession: ReadonlyMap<string, ReadonlySet<string>>;
}

export type ResourceListener = (
  whose: { readonly tenant: string; readonly session: string | undefined },
  frame: NotificationFrame,
) => void;

const NO_URIS: ReadonlySet<string> = new Set();

/** Who wants to hear of which resources of one server, and through which connection. */
export interface Updates {
  want(now: WantedUpdates): void;
  /** Has one connection of each audience of the tenant subscribe to what that wants, and the others to nothing. */
  subscribe(slots: Iterable<Slot>, tenant: string | undefined): void;
  take(this: void, slot: Slot, frame: NotificationFrame): void;
}

export function createUpdates(onResourceUpdated: ResourceListener): Updates {
  const byTenant = new Map<string, WantedUpdates>();

  function wantedThrough({ audience: { kind, tenant, session = "" } }: Slot): ReadonlySet<string> {
    if (tenant === "") return new Set([...byTenant.values()].flatMap(({ uris }) => [...uris]));
    const of = byTenant.get(tenant ?? "");
    return (kind === "shared" ? of?.uris : of?.bySession.get(session)) ?? NO_URIS;
  }

  return {
    want(now) {
      if (now.uris.size === 0) byTenant.delete(now.tenant);
      else byTenant.set(now.tenant, now);
    },
    subscribe(slots, tenant) {
      const seen = new Set<string>();
      for (const slot of slots) {
        const { audience, connection, hidden } = slot;
        if (audience.tenant !== tenant || connection === undefined || hidden) continue;
        slot.uris = seen.has(audience.id) ? NO_URIS : wantedThrough(slot);
        seen.add(audience.id);
        connection.hearOf(slot.uris);
      }
    },
    take({ audience: { tenant, session } }, frame) {
      if (tenant === undefined) return;
      if (tenant !== "") return onResourceUpdated({ tenant, session }, frame);
      // Everybody's connection: each tenant hears of what it asked for.
      const uri = String(frame.params?.["uri"]);
      for (const each of byTenant.values())
        if (each.uris.has(uri)) onResourceUpdated({ tenant: each.tenant, session: undefined }, frame);
    },
  };
}
