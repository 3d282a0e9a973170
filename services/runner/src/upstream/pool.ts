import { AppError } from "@tollgate/errors";
import type { Era } from "@tollgate/mcp";
import type { Connection } from "./connection.ts";
import { createProcesses, type ProcessOptions, type Slot } from "./processes.ts";
import { createRestarts } from "./restarts.ts";

const IDLE_SWEEP_MAX_MS = 10_000;
/** A server that says often that its tools have changed is asked for them no more often than this. */
const RELIST_DELAY_MS = 200;

/** What a pool found out about its server, for the registry. */
export type ServerReport =
  | { readonly status: "ready"; readonly era: Era; readonly serverInfo: string; readonly tools: readonly string[] }
  | { readonly status: "unavailable"; readonly reason: string };

export interface Lease {
  readonly connection: Connection;
  /** Whether this call had to wait for a process to start. */
  readonly coldStart: boolean;
  /** Gives the place back; the next one that waits gets it. */
  release(): void;
}

/**
 * The processes of one server: one per tenant, none shared (invariant 6), each working on many calls at a time.
 * The process that was started to learn the server's tools has seen no tenant's data; the first tenant that calls
 * takes it over.
 */
export interface Pool {
  readonly processes: number;
  /** @throws {AppError} `unavailable`, `overloaded` */
  acquire(tenant: string): Promise<Lease>;
  /** Takes no more calls, and ends the processes when theirs have ended. */
  close(): Promise<void>;
}

export function openPool(options: ProcessOptions & { report: (report: ServerReport) => void }): Pool {
  const { spec, config, report, log } = options;
  let closed = false;
  let relisting: NodeJS.Timeout | undefined;
  const restarts = createRestarts({
    start: () => void discover(),
    onUnavailable: (reason) => report({ status: "unavailable", reason }),
    log,
  });
  const processes = createProcesses({
    ...options,
    onStartFailed: (reason) => processes.count === 0 && restarts.failed(reason),
    onDeath(reason, livedMs) {
      log.warn({ reason, livedMs }, "a server process ended");
      if (processes.count === 0 && !closed) restarts.died(reason, livedMs);
    },
    onToolsChanged(slot) {
      relisting ??= setTimeout(() => {
        relisting = undefined;
        learn(slot).catch((error: Error) => log.warn({ reason: error.message }, "the changed tools are not known"));
      }, RELIST_DELAY_MS);
    },
  });

  async function discover(): Promise<void> {
    if (closed || processes.count > 0) return;
    const slot = processes.start(undefined);
    await learn(slot).catch((error: Error) => {
      // One that could not start, or has ended meanwhile, is known about already.
      if (processes.end(slot)) restarts.failed(error.message);
    });
  }

  async function learn(slot: Slot): Promise<void> {
    const connection = await slot.opening;
    const tools = await connection.listTools();
    restarts.recovered();
    if (!closed) report({ status: "ready", era: connection.era, serverInfo: connection.serverInfo, tools });
  }

  function startFor(tenant: string): Slot {
    const { problem } = restarts;
    if (problem !== undefined) throw unavailable(problem);
    const { processesPerServerMax } = config;
    if (processes.count >= processesPerServerMax && processes.endIdle({ max: 1, idleMs: 0, kept: 0 }) === 0) {
      const reason = `server ${spec.serverId}: all ${processesPerServerMax} processes are in use`;
      throw new AppError("overloaded", reason);
    }
    return processes.start(tenant);
  }

  function unavailable(reason: string): AppError {
    return new AppError("unavailable", `server ${spec.serverId} is unavailable: ${reason}`);
  }

  const sweep = setInterval(
    () => processes.endIdle({ max: Infinity, idleMs: config.processIdleMs, kept: 1 }),
    Math.min(IDLE_SWEEP_MAX_MS, config.processIdleMs),
  );
  void discover();
  return {
    get processes() {
      return processes.count;
    },
    async acquire(tenant) {
      if (closed) throw unavailable("it is being stopped or replaced");
      const slot = processes.find(tenant) ?? startFor(tenant);
      const coldStart = slot.connection === undefined;
      const connection = await slot.opening.catch((error: Error) => {
        throw unavailable(error.message);
      });
      await slot.places.enter();
      slot.usedAt = Date.now();
      const release = () => {
        slot.usedAt = Date.now();
        slot.places.leave();
      };
      if (connection.ended === undefined) return { connection, coldStart, release };
      release();
      throw unavailable(`the server ${connection.ended}`);
    },
    async close() {
      closed = true;
      clearInterval(sweep);
      clearTimeout(relisting);
      restarts.stop();
      await processes.finish();
    },
  };
}
