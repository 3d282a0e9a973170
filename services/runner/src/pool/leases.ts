import type { CallFacts, ClientSide } from "@tollgate/contracts";
import type { AppError } from "@tollgate/errors";
import type { Share } from "@tollgate/fair-queue";
import type { Connection } from "../upstream/connection.ts";
import type { EraMemory } from "../upstream/era-memory.ts";
import type { Audience, Audiences } from "./audiences.ts";
import type { Breakers, Went } from "./breakers.ts";
import type { Concurrency } from "./concurrency.ts";
import type { Placement } from "./placement.ts";
import type { ColdStart, Slot } from "./slots.ts";

/** Who calls: what decides about the connection that a call gets. */
export interface Caller {
  readonly facts: Pick<CallFacts, "tenant" | "principal" | "session" | "protocol" | "method" | "tool">;
  readonly client: ClientSide;
  /** What it does is to be told apart from what others of its tenant do: tasks. */
  readonly apart: boolean;
  /** Whose turn it is where calls wait. */
  readonly share: Share;
  /** Aborted when the call has ended: it waits no more. */
  readonly signal?: AbortSignal;
}

export interface Lease {
  readonly connection: Connection;
  readonly kind: Audience["kind"];
  /** The start that this call had to wait for, if it had to; whoever has waited counts itself in. */
  readonly coldStart: ColdStart | undefined;
  /** Gives the place back, once; the next one that waits gets it. Without a word nothing is known of the server. */
  release(went?: Went): void;
}

/** Where a call belongs, and the start that it has waited for to find that out. */
interface Place {
  readonly audience: Audience;
  readonly waitedFor?: ColdStart | undefined;
}

const startOf = ({ connection, start }: Slot): ColdStart | undefined => (connection === undefined ? start : undefined);

export interface Leases {
  acquire(caller: Caller): Promise<Lease>;
}

/** What a call passes until it has a connection: circuit breakers, bounds on calls at the same time, a place. */
export function createLeases(parts: {
  audiences: Audiences;
  placement: Placement;
  era: EraMemory;
  breakers: Breakers;
  concurrency: Concurrency;
  unavailable: (reason: string) => AppError;
}): Leases {
  const { audiences, placement, era, breakers, concurrency, unavailable } = parts;

  /** Connections whose end was counted: however many calls one takes along, it is one failure. */
  const counted = new WeakSet<Connection>();

  function countOnce(went: Went | undefined, connection: Connection): Went | undefined {
    if (went !== "badly" || connection.ended === undefined) return went;
    if (counted.has(connection)) return undefined;
    counted.add(connection);
    return went;
  }

  async function opened(slot: Slot): Promise<Connection> {
    return slot.opening.catch((error: Error) => {
      throw unavailable(error.message);
    });
  }

  /** Where a server could ask the client something: its own connection, unless the server is modern. */
  async function ownUnlessModern(own: Audience, caller: Caller): Promise<Place> {
    const shared = audiences.shared(caller.facts.tenant);
    if (era.era !== undefined) return { audience: era.era === "modern" ? shared : own };
    const slot = await placement.place(shared, caller);
    const waitedFor = startOf(slot);
    try {
      return { audience: (await opened(slot)).era === "modern" ? shared : own, waitedFor };
    } finally {
      placement.leave(slot);
    }
  }

  async function placeOf(caller: Caller, own: Audience): Promise<Place> {
    return audiences.shares ? ownUnlessModern(own, caller) : { audience: own };
  }

  async function lease(caller: Caller, onRelease: (went: Went | undefined) => void): Promise<Lease> {
    const own = audiences.own(caller);
    const place: Place =
      own === undefined ? { audience: audiences.shared(caller.facts.tenant) } : await placeOf(caller, own);
    const placed = placement.place(place.audience, caller);
    const slot = placed instanceof Promise ? await placed : placed;
    const coldStart = startOf(slot) ?? place.waitedFor;
    try {
      const connection = slot.connection ?? (await opened(slot));
      if (connection.ended !== undefined) throw unavailable(`the server ${connection.ended}`);
      let held = true;
      const release = (went?: Went) => {
        if (!held) return;
        held = false;
        if (went === "badly") slot.overdue = true;
        onRelease(countOnce(went, connection));
        placement.leave(slot);
      };
      return { connection, kind: slot.audience.kind, coldStart, release };
    } catch (error) {
      placement.leave(slot);
      throw error;
    }
  }

  return {
    async acquire(caller) {
      breakers.enter(caller.facts);
      try {
        const entering = concurrency.enter(caller);
        if (entering) await entering;
      } catch (error) {
        breakers.leave(caller.facts, undefined);
        throw error;
      }
      const onRelease = (went: Went | undefined) => {
        breakers.leave(caller.facts, went);
        concurrency.leave(caller);
      };
      try {
        return await lease(caller, onRelease);
      } catch (error) {
        onRelease(undefined);
        throw error;
      }
    },
  };
}
