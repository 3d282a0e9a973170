import type { LimitsSpec } from "../domain/server-spec.ts";

const MIB = 1024 * 1024;
/** The kernel counts threads where `limits.processes` counts processes; those are counted by the supervisor. */
export const THREADS_PER_PROCESS = 16;
/** What a process may reserve beyond what it may use: stacks of threads, heaps that grow later. */
const RESERVED_BYTES = 1024 * MIB;
const OUT_OF_MEMORY = /out of memory|ENOMEM|Cannot allocate memory|MemoryError|bad_alloc/i;

/** What a server's process and all that it has started use. */
export interface ProcessUsage {
  readonly memoryBytes: number;
  readonly cpuMs: number;
  readonly processes: number;
}

export function overMemory({ memoryBytes }: LimitsSpec): string {
  return `used more than ${memoryBytes / MIB} MiB of memory (limits.memory_mb)`;
}

export function overProcesses({ processes }: LimitsSpec): string {
  return `had more than ${processes} processes (limits.processes)`;
}

/** Whether what was said of an end names the limit that it was for, as all that are for one do: `limits.` and its key. */
export const isOverLimit = (reason: string): boolean => reason.includes("(limits.");

/** How a process ended that may have been refused memory before anybody saw it use too much. */
export function withMemoryNote(how: string, lastWords: string, { memoryBytes }: LimitsSpec): string {
  if (memoryBytes === 0 || !OUT_OF_MEMORY.test(lastWords)) return how;
  return `${how}: it ran out of memory (limits.memory_mb is ${memoryBytes / MIB})`;
}

/**
 * A script for `sh -c` that goes into the cgroup, takes on what the kernel holds each single process to, and becomes the
 * command. Memory is bounded loosely here, so that nothing grows past what the supervisor can see in time: it counts
 * what is used, the kernel what is reserved. Not RLIMIT_AS: engines reserve address space by the terabyte.
 */
export function limitScript(limits: LimitsSpec, cgroup: string | undefined): string {
  const { memoryBytes, openFiles } = limits;
  return [
    ...(cgroup === undefined ? [] : [`echo 0 > '${cgroup.replaceAll("'", `'\\''`)}/cgroup.procs' || exit 125`]),
    "ulimit -c 0",
    ...(openFiles > 0 ? [`ulimit -n ${openFiles} 2>/dev/null`] : []),
    ...(memoryBytes > 0 ? [`ulimit -d ${Math.ceil((memoryBytes + RESERVED_BYTES) / 1_024)}`] : []),
    'exec "$@"',
  ].join("; ");
}
