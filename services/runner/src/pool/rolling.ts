import type { Log } from "@tollgate/service";
import type { Audience, Audiences } from "./audiences.ts";
import type { Processes } from "./processes.ts";
import type { Slot } from "./slots.ts";

/**
 * Restarts as they are asked for: a new process for each audience that has calls, which go to the old one until the new
 * one is open; then the old one finishes its calls and ends. The first new one shows whether the server starts at all:
 * if it does not, everything stays as it is.
 */
export interface Rolling {
  /** The last restart that was carried out. */
  readonly generation: number;
  restart(this: void, generation: number): void;
  stop(): void;
}

export function createRolling(options: {
  generation: number;
  audiences: Audiences;
  processes: Processes;
  /** Takes a new process into use. @throws when it cannot be */
  learn: (slot: Slot) => Promise<void>;
  onOpen: (slot: Slot) => void;
  onRestarted: () => void;
  log: Log;
}): Rolling {
  const { audiences, processes, learn, onOpen, onRestarted, log } = options;
  const { slots } = processes;
  let done = options.generation;
  let asked = done;
  let rolling = false;
  let stopped = false;

  /** Starts a new one for the audience, and when it is open ends the old ones. */
  async function replace(
    audience: Audience,
    old: readonly Slot[],
    check: (slot: Slot) => Promise<void>,
  ): Promise<void> {
    const fresh = processes.start(audience, true);
    if (fresh === undefined) throw new Error("the runner has no room for another process");
    try {
      await fresh.opening;
      await check(fresh);
    } catch (error) {
      processes.end(fresh);
      throw error;
    }
    fresh.hidden = false;
    for (const slot of old) if (slot.audience.id === audience.id) processes.end(slot);
    onOpen(fresh);
  }

  async function roll(): Promise<void> {
    const old = [...slots.all()];
    const busy = new Map(old.filter(({ users }) => users > 0).map(({ audience }) => [audience.id, audience]));
    const shared = [...busy.values()].find(({ kind }) => kind === "shared") ?? audiences.nobody;
    await replace(shared, old, learn);
    for (const slot of old) if (slot.users === 0) processes.end(slot);
    busy.delete(shared.id);
    for (const audience of busy.values()) {
      if (!stopped) await replace(audience, old, () => Promise.resolve());
    }
    // What came to be used meanwhile.
    for (const slot of old) processes.end(slot);
  }

  async function carryOut(): Promise<void> {
    const generation = asked;
    log.info({ generation }, "the server's processes are being replaced");
    try {
      await roll();
      done = generation;
      onRestarted();
    } catch (error) {
      const { message: reason } = error as Error;
      if (!stopped) log.error({ generation, reason }, "the server was not restarted; what runs goes on");
    }
    if (asked !== generation && !stopped) return carryOut();
    rolling = false;
  }

  return {
    get generation() {
      return done;
    },
    restart(generation) {
      if (generation === asked) return;
      asked = generation;
      if (rolling || stopped) return;
      rolling = true;
      void carryOut();
    },
    stop() {
      stopped = true;
    },
  };
}
