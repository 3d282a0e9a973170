import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

const POLL_MS = 25;

/** A process and when it began: the number alone may belong to another one by now. */
export interface ProcessRef {
  readonly pid: number;
  /** As the kernel gives it (proc(5), field 22 of stat; `ps` elsewhere); only ever compared. */
  readonly startedAt: string;
}

export function refOf(pid: number): ProcessRef {
  return { pid, startedAt: startTimeOf(pid) };
}

/** Whether this very process still runs; a zombie does not. */
export function isRunning({ pid, startedAt }: ProcessRef): boolean {
  const now = startTimeOf(pid);
  return now !== "" && now === startedAt;
}

/**
 * Whether the group that this process leads or led may still have members. A number is not given out again while it
 * names a group, so only another process under it says that the group is gone.
 */
export function mayHaveGroup({ pid, startedAt }: ProcessRef): boolean {
  const now = startTimeOf(pid);
  return now === "" || now === startedAt;
}

function startTimeOf(pid: number): string {
  if (process.platform !== "linux") return startTimeByPs(pid);
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the command, in parentheses, and may hold anything; the third is the state.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? "" : (fields[19] ?? "");
  } catch {
    return "";
  }
}

function startTimeByPs(pid: number): string {
  try {
    return execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8", timeout: 5_000 }).trim();
  } catch {
    return "";
  }
}

/** Signals a process, or its group by a negative number; one that is gone is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // ESRCH: gone. EPERM: on macOS, a group of which only a zombie is left.
  }
}

/** True once the process is gone, false when `timeoutMs` was not enough. */
export async function untilGone(ref: ProcessRef, timeoutMs: number): Promise<boolean> {
  const until = Date.now() + timeoutMs;
  while (isRunning(ref)) {
    if (Date.now() > until) return false;
    await delay(POLL_MS);
  }
  return true;
}
