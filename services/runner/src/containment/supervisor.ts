import type { LimitsSpec } from "../domain/server-spec.ts";
import { createCpuBudget } from "./cpu-budget.ts";
import { overMemory, overProcesses, type ProcessUsage } from "./limits.ts";
import type { ProcessSet } from "./process-set.ts";
import { createProcessWatch, type ProcessTable, proportionalBytes, residentBytes } from "./process-table.ts";

const LOOK_MS = 250;
/** How often those are looked at that are held to a share of the processors by being stopped. */
const BRAKE_MS = 50;
/** How often the dear way of counting memory is taken for one server. */
const EXACT_EVERY_MS = 1_000;

export interface Watched {
  readonly set: ProcessSet;
  readonly limits: LimitsSpec;
  /** Processes of the sandbox itself, which count for nothing. */
  readonly extraProcesses: number;
  /** Thousandths of a core that are kept by stopping it; 0 where the kernel does it, or there is no limit. */
  readonly brakedMillis: number;
  /** Before it is killed: why. */
  readonly onOver: (reason: string) => void;
}

/** Measures all server processes, and ends those that are over their limits. */
export interface Supervisor {
  /** What there is now; all that ask in one turn of the event loop get the same. */
  table(this: void): ProcessTable;
  watch(watched: Watched): Supervision;
  close(): void;
}

export interface Supervision {
  readonly usage: ProcessUsage | undefined;
  /** It is to end by itself now: it is stopped no more. */
  releaseBrake(): void;
  end(): void;
}

interface Entry extends Watched {
  usage: ProcessUsage | undefined;
  exactAt: number;
  exactBytes: number;
}

export function createSupervisor(): Supervisor {
  const look = createProcessWatch();
  const entries = new Set<Entry>();
  const brakes = new Map<Entry, () => void>();
  let looking: NodeJS.Timeout | undefined;
  let braking: NodeJS.Timeout | undefined;

  let seen: ProcessTable | undefined;

  function table(): ProcessTable {
    if (seen === undefined) setImmediate(() => (seen = undefined));
    return (seen ??= look());
  }

  function measure(entry: Entry): void {
    const { set, limits, extraProcesses } = entry;
    const pids = set.members(table);
    const processes = Math.max(0, pids.length - extraProcesses);
    entry.usage = { memoryBytes: memoryOf(entry, pids), cpuMs: Math.round(set.cpuMs()), processes };
    const over = reasonOf(entry.usage, limits);
    if (over === undefined) return;
    entry.onOver(over);
    set.kill(table);
  }

  /** The timers run only while there is something to look at. */
  function schedule(): void {
    if (entries.size === 0) looking = stopTimer(looking);
    else looking ??= setInterval(() => entries.forEach(measure), LOOK_MS).unref();
    if (brakes.size === 0) braking = stopTimer(braking);
    else braking ??= setInterval(() => brakes.forEach((brake) => brake()), BRAKE_MS).unref();
  }

  return {
    table,
    watch(watched) {
      const entry: Entry = { ...watched, usage: undefined, exactAt: 0, exactBytes: 0 };
      entries.add(entry);
      if (watched.brakedMillis > 0) brakes.set(entry, createBrake(watched));
      schedule();
      return {
        get usage() {
          return entry.usage;
        },
        releaseBrake() {
          brakes.delete(entry);
          schedule();
        },
        end() {
          entries.delete(entry);
          brakes.delete(entry);
          schedule();
        },
      };
    },
    close() {
      entries.clear();
      brakes.clear();
      schedule();
    },
  };
}

function reasonOf(usage: ProcessUsage, limits: LimitsSpec): string | undefined {
  if (limits.memoryBytes > 0 && usage.memoryBytes > limits.memoryBytes) return overMemory(limits);
  if (limits.processes > 0 && usage.processes > limits.processes) return overProcesses(limits);
  return undefined;
}

/** What processes share is counted in each of them; only a server that seems to be over its limit is counted exactly. */
function memoryOf(entry: Entry, pids: readonly number[]): number {
  const { limits } = entry;
  const bytes = sum(pids, residentBytes);
  if (limits.memoryBytes === 0 || bytes <= limits.memoryBytes || pids.length === 1) return bytes;
  if (Date.now() - entry.exactAt >= EXACT_EVERY_MS) {
    entry.exactAt = Date.now();
    entry.exactBytes = sum(pids, proportionalBytes);
  }
  return entry.exactBytes;
}

function sum(pids: readonly number[], bytesOf: (pid: number) => number): number {
  let bytes = 0;
  for (const pid of pids) bytes += bytesOf(pid);
  return bytes;
}

/** To be called again and again: stops and continues the server, so that it keeps to its share. */
function createBrake({ set, brakedMillis }: Watched): () => void {
  const budget = createCpuBudget(brakedMillis / 1_000);
  let at = Date.now();
  let usedMs = set.cpuMs();
  let stopped = false;
  return () => {
    const now = Date.now();
    const used = set.cpuMs();
    const stop = budget.spend(used - usedMs, now - at);
    at = now;
    usedMs = used;
    if (stop === stopped) return;
    stopped = stop;
    if (stop) set.stop();
    else set.resume();
  };
}

function stopTimer(timer: NodeJS.Timeout | undefined): undefined {
  clearInterval(timer);
}
