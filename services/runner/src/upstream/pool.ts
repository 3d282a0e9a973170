import { AppError } from "@tollgate/errors";
import type { Era } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { RunnerConfig } from "../config.ts";
import { resolveCommand, type ServerSpec } from "./command.ts";
import { type Connection, openConnection } from "./connection.ts";
import type { ProcessLedger } from "./process-ledger.ts";

const BACKOFF_MIN_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;
const IDLE_SWEEP_MS = 10_000;
/** A process that lived this long was healthy: its end starts the backoff anew. */
const HEALTHY_MS = 30_000;

export interface PoolSpec extends ServerSpec {
  readonly specHash: string;
  readonly startupTimeoutMs: number;
}

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
  acquire(tenant: string): Promise<Lease>;
  close(): Promise<void>;
}

interface Slot {
  tenant: string | undefined;
  connection: Connection | undefined;
  readonly opening: Promise<Connection>;
  inFlight: number;
  readonly waiting: (() => void)[];
  usedAt: number;
}

export function openPool(options: {
  spec: PoolSpec;
  config: RunnerConfig;
  installDir: string;
  baseEnv: RunnerConfig["baseEnv"];
  ledger: ProcessLedger;
  log: Log;
  report: (report: ServerReport) => void;
}): Pool {
  const { spec, config, report } = options;
  const log = options.log.child({ server: spec.serverId });
  const slots = new Set<Slot>();
  let era: Era | undefined;
  let closed = false;
  let backoffMs = BACKOFF_MIN_MS;
  let failure: { reason: string; until: number } | undefined;
  let retry: NodeJS.Timeout | undefined;

  function open(tenant: string | undefined): Slot {
    const startedAt = Date.now();
    const slot: Slot = { tenant, connection: undefined, inFlight: 0, waiting: [], usedAt: startedAt, opening: start() };
    slots.add(slot);
    slot.opening.then(
      (connection) => {
        slot.connection = connection;
        era = connection.era;
      },
      () => slots.delete(slot),
    );
    return slot;

    async function start(): Promise<Connection> {
      const command = await resolveCommand(spec, options);
      return openConnection({
        command,
        era,
        startupTimeoutMs: spec.startupTimeoutMs,
        lineMaxBytes: config.responseMaxBytes,
        ledger: options.ledger,
        log,
        onEnd: (reason) => {
          slots.delete(slot);
          for (const wake of slot.waiting.splice(0)) wake();
          if (!closed && slot.connection) onDeath(reason, Date.now() - startedAt);
        },
        onToolsChanged: () => void learn(slot),
      });
    }
  }

  function onDeath(reason: string, livedMs: number): void {
    log.warn({ reason, livedMs }, "a server process ended");
    if (slots.size > 0) return;
    if (livedMs < HEALTHY_MS) return fail(`the server ${reason}`);
    backoffMs = BACKOFF_MIN_MS;
    void discover();
  }

  /** Says that the server is not there, and tries again by itself after a while. */
  function fail(reason: string): void {
    if (closed) return;
    failure = { reason, until: Date.now() + backoffMs };
    log.warn({ reason, retryMs: backoffMs }, "the server is unavailable");
    report({ status: "unavailable", reason });
    clearTimeout(retry);
    retry = setTimeout(() => void discover(), backoffMs * (0.75 + Math.random() / 2));
    backoffMs = Math.min(backoffMs * 2, BACKOFF_MAX_MS);
  }

  async function discover(): Promise<void> {
    if (closed || slots.size > 0) return;
    await learn(open(undefined));
  }

  async function learn(slot: Slot): Promise<void> {
    try {
      const connection = await slot.opening;
      const tools = await connection.listTools();
      failure = undefined;
      report({ status: "ready", era: connection.era, serverInfo: connection.serverInfo, tools });
    } catch (error) {
      await slot.connection?.end();
      fail((error as Error).message);
    }
  }

  async function acquire(tenant: string): Promise<Lease> {
    if (closed) throw unavailable("it is being stopped or replaced");
    let slot = slotFor(tenant);
    const coldStart = slot?.connection === undefined;
    if (slot === undefined) {
      if (failure && failure.until > Date.now()) throw unavailable(failure.reason);
      if (slots.size >= config.processesPerServerMax && !endIdle(1)) {
        throw new AppError(
          "overloaded",
          `server ${spec.serverId}: all ${config.processesPerServerMax} processes are in use`,
        );
      }
      slot = open(tenant);
    }
    const connection = await slot.opening.catch((error: unknown) => {
      if (slots.size === 0) fail((error as Error).message);
      throw unavailable((error as Error).message);
    });
    await place(slot);
    if (connection.ended !== undefined) throw unavailable(`the server ${connection.ended}`);
    slot.usedAt = Date.now();
    return { connection, coldStart, release: () => release(slot) };
  }

  function slotFor(tenant: string): Slot | undefined {
    let spare: Slot | undefined;
    for (const slot of slots) {
      if (slot.tenant === tenant) return slot;
      if (slot.tenant === undefined) spare = slot;
    }
    if (spare) spare.tenant = tenant;
    return spare;
  }

  async function place(slot: Slot): Promise<void> {
    if (slot.inFlight < config.callsPerProcessMax) {
      slot.inFlight += 1;
      return;
    }
    if (slot.waiting.length >= config.callsWaitingMax)
      throw new AppError("overloaded", `server ${spec.serverId}: ${config.callsWaitingMax} calls are waiting already`);
    await new Promise<void>((resolve) => slot.waiting.push(resolve));
  }

  function release(slot: Slot): void {
    const next = slot.waiting.shift();
    // The place goes to the next one as it is: the count stays.
    if (next) next();
    else slot.inFlight -= 1;
  }

  /** Ends up to `most` processes that nobody uses; those idle past the limit on the regular sweep. */
  function endIdle(most: number, idleMs = 0): boolean {
    let ended = 0;
    for (const slot of slots) {
      if (ended >= most || slots.size === 1) break;
      if (!slot.connection || slot.inFlight > 0 || Date.now() - slot.usedAt < idleMs) continue;
      slots.delete(slot);
      void slot.connection.end();
      ended += 1;
    }
    return ended > 0;
  }

  function unavailable(reason: string): AppError {
    return new AppError("unavailable", `server ${spec.serverId} is unavailable: ${reason}`);
  }

  const sweep = setInterval(() => endIdle(Infinity, config.processIdleMs), IDLE_SWEEP_MS);
  void discover();
  return {
    get processes() {
      return slots.size;
    },
    acquire,
    async close() {
      closed = true;
      clearInterval(sweep);
      clearTimeout(retry);
      await Promise.all(
        [...slots].map((slot) =>
          slot.opening.then(
            (connection) => connection.end(),
            () => undefined,
          ),
        ),
      );
    },
  };
}
