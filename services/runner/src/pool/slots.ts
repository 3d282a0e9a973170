import type { Connection } from "../upstream/connection.ts";
import type { Audience } from "./audiences.ts";

const NO_URIS: ReadonlySet<string> = new Set();

/** A start, and how many calls have waited for it: they share its price. */
export interface ColdStart {
  calls: number;
}

/** One connection, from the moment it is to be opened; with stdio, a process. */
export interface Slot {
  /** Nobody's becomes a tenant's. */
  audience: Audience;
  readonly opening: Promise<Connection>;
  /** Undefined while it starts. */
  connection: Connection | undefined;
  /** Unix milliseconds. */
  readonly startedAt: number;
  readonly start: ColdStart;
  /** It takes no calls yet: when it is open it takes the place of others. */
  hidden: boolean;
  /** It takes no more calls. */
  removed: boolean;
  /** Calls that have it, or are about to. */
  users: number;
  usedAt: number;
  /** Resources that somebody wants to hear of through it. */
  uris: ReadonlySet<string>;
  /** A call in it has passed its deadline, and since then it has said nothing. */
  overdue: boolean;
  /** Called when its last call has left it. */
  onEmpty: (() => void) | undefined;
}

/** The connections of one server that take calls, or will. Those that only finish their calls are not among them. */
export interface Slots {
  readonly size: number;
  all(): Iterable<Slot>;
  /** How many an audience has. */
  sizeOf(audience: Audience): number;
  /** How many a tenant has. */
  tenantSize(tenant: string): number;
  /** The tenant that has most. */
  richest(): string | undefined;
  add(audience: Audience, opening: (slot: Slot) => Promise<Connection>, hidden: boolean): Slot;
  /** False when it has gone already. */
  remove(slot: Slot): boolean;
  /** Of those of the audience with a place for one more call, an open one before one that starts, and the emptiest. */
  find(audience: Audience): Slot | undefined;
  give(slot: Slot, audience: Audience): void;
  enter(slot: Slot): void;
  leave(slot: Slot): void;
  /** Open, and used by nobody; the one that was not used for longest comes first. */
  idle(): Iterable<Slot>;
  /** It can be idle from now on. */
  opened(slot: Slot, connection: Connection): void;
}

export function createSlots(): Slots {
  const slots = new Set<Slot>();
  const ofAudience = new Map<string, Set<Slot>>();
  const ofTenant = new Map<string, number>();
  /** In the order of their last use. */
  const idle = new Set<Slot>();

  function index(slot: Slot): void {
    const { id, tenant } = slot.audience;
    const others = ofAudience.get(id);
    if (others) others.add(slot);
    else ofAudience.set(id, new Set([slot]));
    if (tenant !== undefined) ofTenant.set(tenant, (ofTenant.get(tenant) ?? 0) + 1);
  }

  function unindex(slot: Slot): void {
    const { id, tenant } = slot.audience;
    const others = ofAudience.get(id)!;
    others.delete(slot);
    if (others.size === 0) ofAudience.delete(id);
    if (tenant === undefined) return;
    const left = ofTenant.get(tenant)! - 1;
    if (left === 0) ofTenant.delete(tenant);
    else ofTenant.set(tenant, left);
  }

  return {
    get size() {
      return slots.size;
    },
    all: () => slots,
    sizeOf: ({ id }) => ofAudience.get(id)?.size ?? 0,
    tenantSize: (tenant) => ofTenant.get(tenant) ?? 0,
    richest() {
      let most: readonly [string, number] | undefined;
      for (const each of ofTenant) if (most === undefined || each[1] > most[1]) most = each;
      return most?.[0];
    },
    add(audience, open, hidden) {
      // Resolved first, so that `slot` is there when the connection speaks of it.
      const opening = Promise.resolve().then(() => open(slot));
      const startedAt = Date.now();
      const unused = { users: 0, usedAt: startedAt, uris: NO_URIS, overdue: false, onEmpty: undefined };
      const fresh = { connection: undefined, startedAt, start: { calls: 0 }, hidden, removed: false, ...unused };
      const slot: Slot = { audience, opening, ...fresh };
      slots.add(slot);
      index(slot);
      return slot;
    },
    remove(slot) {
      if (!slots.delete(slot)) return false;
      slot.removed = true;
      idle.delete(slot);
      unindex(slot);
      return true;
    },
    find({ id }) {
      let best: Slot | undefined;
      for (const slot of ofAudience.get(id) ?? []) {
        if (slot.hidden || slot.users >= slot.audience.callsMax) continue;
        if (best === undefined || isBetter(slot, best)) best = slot;
      }
      return best;
    },
    give(slot, audience) {
      unindex(slot);
      slot.audience = audience;
      index(slot);
    },
    enter(slot) {
      if ((slot.users += 1) === 1) idle.delete(slot);
    },
    leave(slot) {
      slot.usedAt = Date.now();
      if ((slot.users -= 1) > 0) return;
      if (!slot.removed && slot.connection) idle.add(slot);
      slot.onEmpty?.();
    },
    idle: () => idle,
    opened(slot, connection) {
      slot.connection = connection;
      if (!slot.removed && slot.users === 0) idle.add(slot);
    },
  };
}

function isBetter(one: Slot, other: Slot): boolean {
  const opens = Number(one.connection !== undefined) - Number(other.connection !== undefined);
  return opens > 0 || (opens === 0 && one.users < other.users);
}
