import type { AppError } from "@tollgate/errors";
import type { Share } from "@tollgate/fair-queue";
import { isRemote, type ServerSpec } from "../domain/server-spec.ts";
import type { Audience, Audiences } from "./audiences.ts";
import type { Processes } from "./processes.ts";
import type { Restarts } from "./restarts.ts";
import type { Slot } from "./slots.ts";
import type { Spawning } from "./spawning.ts";
import { createWaiting } from "./waiting.ts";

/**
 * Which connection a call gets: one of its audience's that has a place, else one that is nobody's, else a new one; for
 * that an idle one makes room, of its tenant where that has all that a tenant may have. Else it waits.
 */
export interface Placement {
  readonly waiting: number;
  /** A connection, open or about to be, with a place in it: to be left. @throws {AppError} `unavailable`, `overloaded` */
  place(audience: Audience, waiter: { readonly share: Share; readonly signal?: AbortSignal }): Slot | Promise<Slot>;
  leave(slot: Slot): void;
  /** Has one there for the audience where that takes no other's place. */
  open(audience: Audience): void;
  /** Something has changed: serves those that wait, as far as it goes. */
  serve(): void;
  /** Nobody is served any more. */
  refuse(error: AppError): void;
}

/** A process that nobody has used for so long is not at work. */
const REST_MS = 1_000;

export function createPlacement(options: {
  spec: ServerSpec;
  audiences: Audiences;
  processes: Processes;
  restarts: Restarts;
  spawning: Spawning;
  unavailable: (reason: string) => AppError;
  onTaken: (slot: Slot) => void;
}): Placement {
  const { spec, audiences, processes, restarts, spawning, unavailable, onTaken } = options;
  const { slots } = processes;
  const { pool } = spec;
  const name = `server ${spec.serverId}`;
  const tenantMax = pool.shared ? pool.max : pool.maxPerTenant;
  const waiting = createWaiting({ name, max: pool.queue, waitMs: pool.queueTimeoutMs, reasonOf: reasonToWait });

  /** Until what is idle now has rested. */
  let later: NodeJS.Timeout | undefined;

  function reasonToWait({ tenant }: Audience): string {
    const what = isRemote(spec) ? "connections" : "processes";
    if (slots.size >= pool.max) return `all ${pool.max} ${what} are in use`;
    if (slots.tenantSize(tenant ?? "") >= tenantMax) return `all ${tenantMax} ${what} of the tenant are in use`;
    return `the runner has no room for another of its ${what}`;
  }

  /** Whether the audience may have another connection; an idle one of its tenant gives way. */
  function mayHaveMore(audience: Audience): boolean {
    const { tenant = "" } = audience;
    if (slots.sizeOf(audience) >= audience.connectionsMax) return false;
    return slots.tenantSize(tenant) < tenantMax || processes.endIdle((slot) => slot.audience.tenant === tenant);
  }

  function takeOver(audience: Audience): Slot | undefined {
    if (audience.kind !== "shared" || slots.sizeOf(audiences.nobody) === 0) return undefined;
    const slot = slots.find(audiences.nobody);
    if (slot === undefined || !mayHaveMore(audience)) return undefined;
    slots.give(slot, audience);
    onTaken(slot);
    return slot;
  }

  /**
   * A tenant that has none while another has several takes one of those: it takes no new calls, and ends when its calls
   * have. Otherwise a tenant that always has calls in all of them would keep them for ever.
   */
  function takeFromRichest({ tenant = "" }: Audience): boolean {
    const richest = slots.richest();
    if (richest === undefined || slots.tenantSize(tenant) > 0 || slots.tenantSize(richest) < 2) return false;
    let least: Slot | undefined;
    for (const slot of slots.all()) {
      const isTheirs = slot.audience.tenant === richest && slot.audience.kind === "shared" && !slot.hidden;
      // One that does not start any more would fail the calls that wait for it.
      const mayEnd = slot.connection !== undefined || slot.users === 0;
      if (isTheirs && mayEnd && (least === undefined || slot.users < least.users)) least = slot;
    }
    return least !== undefined && processes.end(least);
  }

  /**
   * Who has some already gets an idle one of another tenant only when it has rested, or when that tenant has more: where
   * all are at work, one that is idle between two calls would else be ended, and another started, for each call.
   */
  function makeRoom(audience: Audience): boolean {
    if (slots.sizeOf(audience) === 0) return processes.endIdle() || takeFromRichest(audience);
    const enough = slots.tenantSize(audience.tenant ?? "") + 1;
    const rested = Date.now() - REST_MS;
    if (processes.endIdle((slot) => slot.usedAt <= rested || slots.tenantSize(slot.audience.tenant ?? "") > enough))
      return true;
    later ??= setTimeout(() => {
      later = undefined;
      serve();
    }, REST_MS).unref();
    return false;
  }

  function start(audience: Audience): Slot | undefined {
    const { problem } = restarts;
    if (problem !== undefined && slots.sizeOf(audience) === 0) throw unavailable(problem);
    if (problem !== undefined || !mayHaveMore(audience)) return undefined;
    if (slots.size >= pool.max && !makeRoom(audience)) return undefined;
    const slot = processes.start(audience);
    if (slot === undefined) spawning.makeRoom();
    return slot;
  }

  function claim(audience: Audience): Slot | undefined {
    const slot = slots.find(audience) ?? takeOver(audience) ?? start(audience);
    if (slot !== undefined) slots.enter(slot);
    return slot;
  }

  function serve(): void {
    if (waiting.size > 0) waiting.serve(claim);
  }

  return {
    get waiting() {
      return waiting.size;
    },
    place(audience, waiter) {
      // Those that are there already come first.
      const slot = waiting.size === 0 || waiting.sizeOf(audience, waiter.share) === 0 ? claim(audience) : undefined;
      return slot ?? waiting.enter(audience, waiter.share, waiter.signal);
    },
    leave(slot) {
      slots.leave(slot);
      serve();
    },
    open(audience) {
      if (restarts.problem !== undefined || takeOver(audience) !== undefined) return;
      if (slots.size < pool.max && slots.tenantSize(audience.tenant ?? "") < tenantMax) processes.start(audience);
    },
    serve,
    refuse: (error) =>
      waiting.serve(() => {
        throw error;
      }),
  };
}
