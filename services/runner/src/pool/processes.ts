import type { NotificationFrame } from "@tollgate/mcp";
import { allowedCapabilities } from "../domain/client-capabilities.ts";
import { isOverLimit } from "../containment/limits.ts";
import { isRemote } from "../domain/server-spec.ts";
import { type Connection, openConnection } from "../upstream/connection.ts";
import type { EraMemory } from "../upstream/era-memory.ts";
import type { Audience } from "./audiences.ts";
import type { ServerNews } from "./news.ts";
import { createOpener, type OpenerOptions } from "./opener.ts";
import { createSlots, type Slot, type Slots } from "./slots.ts";
import type { SpawnPlace, Spawning } from "./spawning.ts";

/** How long the calls of a process that was replaced have to end. */
const CALLS_FINISH_MAX_MS = 120_000;

export interface ProcessOptions extends OpenerOptions {
  /** Shared by all pools of the runner. */
  readonly spawning: Spawning;
  readonly news: ServerNews;
}

/** The connections of one server: started and ended, in health and otherwise. */
export interface Processes {
  readonly slots: Slots;
  /** Started in all. */
  readonly starts: number;
  /** Undefined when the runner has no room for another process. It is nobody's to find while it is `hidden`. */
  start(audience: Audience, hidden?: boolean): Slot | undefined;
  /** Ends a connection when its calls have ended. False when it has gone already. */
  end(slot: Slot): boolean;
  /** Ends one that is of no use any more, with its calls, as if it had ended by itself. */
  fail(slot: Slot, reason: string): void;
  /** Of those that may be: ends the one nobody has used for longest, one with subscriptions last. False if none is idle. */
  endIdle(mayEnd?: (slot: Slot) => boolean): boolean;
  /** Ends all, each when its calls have ended. */
  finish(): Promise<void>;
}

export interface ProcessEvents {
  readonly onOpen: (slot: Slot) => void;
  readonly onStartFailed: (slot: Slot, reason: string) => void;
  /** A connection that was open has ended by itself, or is to be taken for such a one. */
  readonly onDeath: (slot: Slot, reason: string) => void;
  readonly onListChanged: (slot: Slot) => void;
  readonly onResourceUpdated: (slot: Slot, frame: NotificationFrame) => void;
}

export function createProcesses(options: ProcessOptions & { era: EraMemory; events: ProcessEvents }): Processes {
  const { spec, spawning, signal, era, events, news } = options;
  const slots = createSlots();
  const places = new WeakMap<Slot, SpawnPlace>();
  const ending = new Set<Promise<unknown>>();
  const remote = isRemote(spec);
  const opener = createOpener(options);
  let starts = 0;

  function start(audience: Audience, hidden = false): Slot | undefined {
    const place = remote ? UNBOUNDED : spawning.take();
    if (!place) return undefined;
    starts += 1;
    const slot = slots.add(audience, connect, hidden);
    places.set(slot, place);
    slot.opening.then(
      (connection) => {
        slots.opened(slot, connection);
        era.remember(connection.era);
        news.tell("started", slot.audience.tenant);
        events.onOpen(slot);
      },
      (error: Error) => {
        const wasWanted = slots.remove(slot) && !signal.aborted;
        place.free();
        era.forget();
        // What nobody wants any more has not failed.
        if (wasWanted) news.tell("failed_to_start", slot.audience.tenant, error.message);
        events.onStartFailed(slot, error.message);
      },
    );
    return slot;
  }

  async function connect(slot: Slot): Promise<Connection> {
    const open = await opener.open();
    if (!remote) await spawning.starting.enter({ key: spec.serverId, weight: 1 }, signal);
    try {
      if (slot.removed) throw new Error("it is not needed any more");
      const { client, tenant } = slot.audience;
      news.secretsRead(tenant);
      return await openConnection({
        open,
        client: { ...client, capabilities: allowedCapabilities(client.capabilities, spec.clientCapabilities) },
        era: era.era,
        startupTimeoutMs: spec.startupTimeoutMs,
        signal,
        log: options.log,
        events: eventsOf(slot),
      });
    } finally {
      if (!remote) spawning.starting.leave(spec.serverId);
    }
  }

  function eventsOf(slot: Slot): Parameters<typeof openConnection>[0]["events"] {
    return {
      onEnd(reason) {
        places.get(slot)?.free();
        // While it starts, the start fails.
        if (slot.connection === undefined || !slots.remove(slot)) return;
        era.forget();
        news.tell(isOverLimit(reason) ? "killed" : "died", slot.audience.tenant, reason);
        events.onDeath(slot, reason);
      },
      onListChanged: () => events.onListChanged(slot),
      onResourceUpdated: (frame) => events.onResourceUpdated(slot, frame),
      onOtherEra() {
        era.forget();
        end(slot);
      },
      client: slot.audience.listener,
    };
  }

  /** Until its session ends, or has rested for the pool's idle time: that others wait is no reason to forget it. */
  const keepsState = ({ audience }: Slot) => spec.pool.mode === "session" && audience.kind === "bound";

  function track(work: Promise<unknown>): void {
    const tracked = work.finally(() => ending.delete(tracked));
    ending.add(tracked);
  }

  function end(slot: Slot): boolean {
    if (!slots.remove(slot)) return false;
    places.get(slot)?.leave();
    track(endWhenIdle(slot, signal).then((stopped) => stopped && news.tell("stopped", slot.audience.tenant)));
    return true;
  }

  return {
    slots,
    get starts() {
      return starts;
    },
    start,
    end,
    fail(slot, reason) {
      if (!slots.remove(slot)) return;
      places.get(slot)?.leave();
      era.forget();
      news.tell("killed", slot.audience.tenant, reason);
      track(Promise.resolve(slot.connection?.end()));
      events.onDeath(slot, reason);
    },
    endIdle(mayEnd = () => true) {
      let oldest: Slot | undefined;
      for (const slot of slots.idle()) {
        if (slot.hidden || keepsState(slot) || !mayEnd(slot)) continue;
        oldest ??= slot;
        if (slot.uris.size === 0) return end(slot);
      }
      return oldest !== undefined && end(oldest);
    },
    async finish() {
      for (const slot of slots.all()) end(slot);
      await Promise.all(ending);
      opener.close();
    },
  };
}

/** Of connections to remote servers, which are no processes. */
const UNBOUNDED: SpawnPlace = { leave: () => undefined, free: () => undefined };

/** Gives whether there was one. */
async function endWhenIdle(slot: Slot, signal: AbortSignal): Promise<boolean> {
  const connection = await slot.opening.catch(() => undefined);
  if (connection === undefined) return false;
  const late = AbortSignal.any([signal, AbortSignal.timeout(CALLS_FINISH_MAX_MS)]);
  await new Promise<void>((resolve) => {
    if (late.aborted || slot.users === 0) resolve();
    late.addEventListener("abort", () => resolve(), { once: true });
    slot.onEmpty = resolve;
  });
  await connection.end();
  return true;
}
