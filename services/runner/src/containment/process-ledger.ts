import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { signalGroup } from "./signals.ts";

/**
 * The process groups that this runner has started, on disk: a runner that was killed cannot end its servers, so the
 * next one on this machine does.
 */
export interface ProcessLedger {
  add(pid: number): void;
  remove(pid: number): void;
}

interface Entry {
  readonly pid: number;
  readonly startedAt: string;
  readonly runnerPid: number;
  readonly runnerStartedAt: string;
}

/** Opens the ledger and ends what runners that are gone have left behind. Returns how many groups those were. */
export function openLedger(stateDir: string): { ledger: ProcessLedger; ended: number } {
  const dir = join(stateDir, "processes");
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = (pid: number) => join(dir, `${pid}.json`);
  let ended = 0;
  for (const name of readdirSync(dir)) {
    const entry = readEntry(join(dir, name));
    if (entry && startTimeOf(entry.runnerPid) === entry.runnerStartedAt) continue;
    rmSync(join(dir, name), { force: true });
    // Another start time: the number went to another process. None: the leader is gone, its group may live on.
    const now = entry && startTimeOf(entry.pid);
    if (!entry || (now !== "" && now !== entry.startedAt)) continue;
    signalGroup(entry.pid, "SIGKILL");
    ended += 1;
  }
  const runnerStartedAt = startTimeOf(process.pid);
  return {
    ended,
    ledger: {
      add(pid) {
        const entry: Entry = { pid, startedAt: startTimeOf(pid), runnerPid: process.pid, runnerStartedAt };
        writeFileSync(file(pid), JSON.stringify(entry));
      },
      remove: (pid) => rmSync(file(pid), { force: true }),
    },
  };
}

function readEntry(path: string): Entry | undefined {
  try {
    const entry = JSON.parse(readFileSync(path, "utf8")) as Partial<Entry>;
    return Number.isSafeInteger(entry.pid) && entry.pid! > 1 ? (entry as Entry) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The kernel's start time of a process (proc(5), fields 3 and 22 of stat), or "" when it is gone, is a zombie that
 * nobody has collected, or /proc is not there.
 */
function startTimeOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? "" : (fields[19] ?? "");
  } catch {
    return "";
  }
}
