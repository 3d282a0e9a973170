import { readdirSync, readFileSync } from "node:fs";

/** A process as proc(5) shows it. */
export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  /** `Z`: ended, and its parent has not asked for it. */
  readonly state: string;
  /** Processor time in hundredths of a second (USER_HZ on Linux). */
  readonly ticks: number;
  readonly residentBytes: number;
}

const PAGE_BYTES = 4096;

/** All processes of this machine that live now. */
export function readProcesses(): ProcessEntry[] {
  return pids().flatMap((pid) => {
    const stat = readProc(pid, "stat");
    if (stat === undefined) return [];
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [parent, user, system, pages] = [1, 11, 12, 21].map((field) => Number(fields[field]));
    return [{ pid, parent: parent!, state: fields[0]!, ticks: user! + system!, residentBytes: pages! * PAGE_BYTES }];
  });
}

/**
 * The processes with `NAME=value` in the environment that they were started with: what a server has started is found by
 * this wherever it has gone. Zombies have none.
 */
export function processesMarked(name: string, value: string): number[] {
  return pids().filter((pid) => readProc(pid, "environ")?.split("\0").includes(`${name}=${value}`));
}

function pids(): number[] {
  return readdirSync("/proc").map(Number).filter(Number.isInteger);
}

/** Undefined when it has ended meanwhile, or is another user's. */
function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined;
  }
}
