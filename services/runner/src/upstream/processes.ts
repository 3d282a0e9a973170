import type { Era } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { RunnerConfig } from "../config.ts";
import type { CommandResolver, ServerSpec } from "./command.ts";
import { type Connection, openConnection } from "./connection.ts";
import { createPlaces, type Places } from "./places.ts";
import type { ProcessLedger } from "./process-ledger.ts";

/** How long the calls of a server that was replaced have to end. */
const CALLS_FINISH_MAX_MS = 120_000;

export interface PoolSpec extends ServerSpec {
  readonly specHash: string;
  readonly startupTimeoutMs: number;
}

export interface ProcessOptions {
  readonly spec: PoolSpec;
  readonly config: RunnerConfig;
  readonly resolveCommand: CommandResolver;
  readonly ledger: ProcessLedger;
  /** Aborted when the runner stops: nothing is waited for any more. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** One process, from the moment it is to be started. */
export interface Slot {
  /** Undefined as long as it has seen no tenant's data. */
  tenant: string | undefined;
  readonly opening: Promise<Connection>;
  /** Undefined while it starts. */
  connection: Connection | undefined;
  readonly places: Places;
  usedAt: number;
}

/** The processes of one server: at most one per tenant, and one that is nobody's yet. */
export interface Processes {
  readonly count: number;
  /** The tenant's own process, or the one that is nobody's, which becomes the tenant's. */
  find(tenant: string): Slot | undefined;
  start(tenant: string | undefined): Slot;
  /** Ends a process that is still there. False when it has gone already. */
  end(slot: Slot): boolean;
  /** Ends up to `max` processes that nobody has used for `idleMs`, as long as more than `kept` are left. */
  endIdle(options: { max: number; idleMs: number; kept: number }): number;
  /** Ends all, each when its calls have ended. */
  finish(): Promise<void>;
}

export function createProcesses(
  options: ProcessOptions & {
    onStartFailed: (reason: string) => void;
    /** A process that had started has ended by itself. */
    onDeath: (reason: string, livedMs: number) => void;
    onToolsChanged: (slot: Slot) => void;
  },
): Processes {
  const { spec, config, signal, onStartFailed } = options;
  const slots = new Set<Slot>();
  const ending = new Set<Promise<void>>();
  /** Known from the first process on; saves the others the probe. */
  let era: Era | undefined;

  function start(tenant: string | undefined): Slot {
    const name = `server ${spec.serverId}`;
    const places = createPlaces({ name, max: config.callsPerProcessMax, waitingMax: config.callsWaitingMax });
    // Resolved first, so that `slot` is there when the connection speaks of it.
    const opening = Promise.resolve().then(() => connect(slot));
    const slot: Slot = { tenant, connection: undefined, places, usedAt: Date.now(), opening };
    slots.add(slot);
    opening.then(
      (connection) => {
        slot.connection = connection;
        era = connection.era;
      },
      (error: Error) => {
        slots.delete(slot);
        onStartFailed(error.message);
      },
    );
    return slot;
  }

  async function connect(slot: Slot): Promise<Connection> {
    const startedAt = Date.now();
    const command = await options.resolveCommand(spec, signal);
    signal.throwIfAborted();
    return openConnection({
      ...options,
      command,
      era,
      startupTimeoutMs: spec.startupTimeoutMs,
      lineMaxBytes: config.responseMaxBytes,
      onEnd: (reason) => {
        const unexpected = slots.delete(slot) && slot.connection !== undefined;
        slot.places.open();
        if (unexpected) options.onDeath(reason, Date.now() - startedAt);
      },
      onToolsChanged: () => options.onToolsChanged(slot),
    });
  }

  function end(slot: Slot): boolean {
    if (!slots.delete(slot)) return false;
    const ended = endWhenIdle(slot, signal).finally(() => ending.delete(ended));
    ending.add(ended);
    return true;
  }

  return {
    get count() {
      return slots.size;
    },
    find(tenant) {
      let spare: Slot | undefined;
      for (const slot of slots) {
        if (slot.tenant === tenant) return slot;
        if (slot.tenant === undefined) spare = slot;
      }
      if (spare) spare.tenant = tenant;
      return spare;
    },
    start,
    end,
    endIdle({ max, idleMs, kept }) {
      const usedBefore = Date.now() - idleMs;
      const idle = [...slots].filter((slot) => slot.connection && slot.places.taken === 0 && slot.usedAt <= usedBefore);
      const ended = idle.slice(0, Math.max(0, Math.min(max, slots.size - kept)));
      for (const slot of ended) end(slot);
      return ended.length;
    },
    async finish() {
      for (const slot of slots) end(slot);
      await Promise.all(ending);
    },
  };
}

async function endWhenIdle(slot: Slot, signal: AbortSignal): Promise<void> {
  const connection = await slot.opening.catch(() => undefined);
  if (connection === undefined) return;
  const late = AbortSignal.any([signal, AbortSignal.timeout(CALLS_FINISH_MAX_MS)]);
  await new Promise<void>((resolve) => {
    if (late.aborted) resolve();
    late.addEventListener("abort", () => resolve(), { once: true });
    void slot.places.emptied().then(resolve);
  });
  await connection.end();
}
