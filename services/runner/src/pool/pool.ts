import { AppError } from "@tollgate/errors";
import type { NotificationFrame } from "@tollgate/mcp";
import type { Containment, Level } from "../containment/containment.ts";
import type { ServerSpec } from "../domain/server-spec.ts";
import type { Listener } from "../upstream/connection.ts";
import { createEraMemory } from "../upstream/era-memory.ts";
import { type Asking, createAudiences } from "./audiences.ts";
import { createBreakers } from "./breakers.ts";
import { createConcurrency } from "./concurrency.ts";
import { startHealthChecks } from "./health-checks.ts";
import { type Caller, createLeases, type Lease } from "./leases.ts";
import { createPlacement } from "./placement.ts";
import { describePool, type PoolHealth } from "./pool-health.ts";
import { createProcesses, type ProcessOptions } from "./processes.ts";
import { createRolling } from "./rolling.ts";
import type { Slot } from "./slots.ts";
import { createUpkeep, type ServerReport } from "./upkeep.ts";
import { createUpdates, type ResourceListener, type WantedUpdates } from "./updates.ts";

/**
 * The connections of one server (with stdio, each a process), none shared by tenants unless the server is declared
 * shared (invariant 6). Which one a call gets, and how many at a time are on each, says the pool's mode:
 * - multiplexed: one of the tenant's, many at a time; exclusive: one of the tenant's, alone;
 * - session: that of its session, or of its principal where the client has none.
 * But where a legacy server could ask the client something: the session's own, or for clients without sessions one that
 * no other call uses meanwhile. A connection that was opened before anybody called has seen no tenant's data; the first
 * tenant that needs one takes it over.
 */
export interface Pool {
  readonly spec: ServerSpec;
  readonly processes: number;
  /** The headers that a modern remote server wants to see some of a tool's arguments in. */
  paramHeaders(tool: string, args: unknown): Readonly<Record<string, string>> | undefined;
  /**
   * Waits until the server can take the call, as long as its queue allows.
   * @throws {AppError} `unavailable`, `overloaded`; the reason of `signal`
   */
  acquire(caller: Caller): Promise<Lease>;
  /** These updates are wanted from now on, for this tenant no others. */
  hearOf(wanted: WantedUpdates): void;
  /** What a session tells the server unasked: for its own connection, where there is one. */
  tell(session: string, frame: NotificationFrame): void;
  /** Its own connection is needed no more. */
  endSession(session: string): void;
  /** Its live state, for whoever asks. */
  health(): PoolHealth;
  /** Replaces the processes, new ones first, unless this restart has been carried out already. */
  restart(generation: number): void;
  /** Takes no more calls, and ends the processes when theirs have ended. */
  close(): Promise<void>;
}

export type { Went } from "./breakers.ts";
export type { Caller, Lease } from "./leases.ts";
export type { ColdStart } from "./slots.ts";
export type { PoolHealth } from "./pool-health.ts";
export type { ServerNews } from "./news.ts";
export type { ResourceListener } from "./updates.ts";
export type { ServerReport } from "./upkeep.ts";

export interface PoolOptions extends ProcessOptions {
  /** The last restart that was asked for before. */
  readonly generation: number;
  readonly report: (report: ServerReport) => void;
  /** For what is said to a session outside of any call. */
  readonly listenerOf: (facts: Asking["facts"]) => Listener;
  readonly onResourceUpdated: ResourceListener;
}

export function openPool(options: PoolOptions): Pool {
  const { spec, containment, spawning, news, report, log } = options;
  const { serverId, pool } = spec;
  const level = levelOf(containment, spec);
  const era = createEraMemory(options.config.eraKnownMs);
  const audiences = createAudiences(spec, options.listenerOf);
  const breakers = createBreakers({ server: serverId, shared: pool.shared, now: Date.now });
  const concurrency = createConcurrency(spec);
  const updates = createUpdates(options.onResourceUpdated);
  const unavailable = (reason: string) => new AppError("unavailable", `server ${serverId} is unavailable: ${reason}`);
  let closed = false;

  const processes = createProcesses({
    ...options,
    era,
    events: {
      onOpen: takeIn,
      onStartFailed(slot, reason) {
        upkeep.startFailed(slot, reason);
        placement.serve();
      },
      onDeath(slot, reason) {
        upkeep.died(slot, reason);
        updates.subscribe(slots.all(), slot.audience.tenant);
        placement.serve();
      },
      onListChanged: (slot) => upkeep.offer.relearn(slot),
      onResourceUpdated: updates.take,
    },
  });
  const { slots } = processes;
  const upkeep = createUpkeep({ spec, level, audiences, processes, spawning, news, report, log });
  const { offer, restarts } = upkeep;
  const onTaken = ({ audience }: Slot) => updates.subscribe(slots.all(), audience.tenant);
  const placement = createPlacement({ spec, audiences, processes, restarts, spawning, unavailable, onTaken });
  const leases = createLeases({ audiences, placement, era, breakers, concurrency, unavailable });
  const checks = startHealthChecks({ intervalMs: spec.healthCheckIntervalMs, processes, log });
  const { generation } = options;
  const rolling = createRolling({
    generation,
    audiences,
    processes,
    learn: offer.learn,
    onOpen: takeIn,
    onRestarted: () => news.tell("restarted", undefined),
    log,
  });
  const leaveSpawning = spawning.join({
    endIdle: () => processes.endIdle(),
    onRoom() {
      upkeep.onRoom();
      placement.serve();
    },
  });

  /** It is open, and to be used from now on. */
  function takeIn(slot: Slot): void {
    if (slot.hidden) return;
    upkeep.opened(slot);
    updates.subscribe(slots.all(), slot.audience.tenant);
    placement.serve();
  }

  function describe(): PoolHealth {
    const waiting = placement.waiting + concurrency.waiting;
    const { checkedAt } = checks;
    return describePool({
      spec,
      level,
      processes,
      upkeep,
      breakers,
      waiting,
      generation: rolling.generation,
      checkedAt,
    });
  }

  upkeep.discover();
  return {
    spec,
    get processes() {
      return slots.size;
    },
    paramHeaders: offer.paramHeaders,
    async acquire(caller) {
      if (closed) throw unavailable("it is being stopped or replaced");
      return leases.acquire(caller);
    },
    hearOf(wanted) {
      if (closed) return;
      updates.want(wanted);
      const shared = audiences.shared(wanted.tenant);
      // Nobody waits for it: it is tried again when the updates are next asked for.
      if (audiences.shares && wanted.uris.size > 0 && slots.sizeOf(shared) === 0) placement.open(shared);
      for (const tenant of new Set([shared.tenant, wanted.tenant])) updates.subscribe(slots.all(), tenant);
    },
    tell(session, frame) {
      for (const slot of slots.all()) if (slot.audience.session === session) slot.connection?.pass(frame);
    },
    endSession(session) {
      for (const slot of slots.all()) if (slot.audience.session === session) processes.end(slot);
    },
    health: describe,
    restart: rolling.restart,
    async close() {
      closed = true;
      upkeep.stop();
      checks.stop();
      rolling.stop();
      leaveSpawning();
      placement.refuse(unavailable("it is being stopped or replaced"));
      await processes.finish();
    },
  };
}

/** What is not started for want of a sandbox is held by nothing. */
function levelOf(containment: Containment, spec: ServerSpec): Level {
  try {
    return containment.levelOf(spec);
  } catch {
    return { isolation: "none", limitsBy: "none" };
  }
}
