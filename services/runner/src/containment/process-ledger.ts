import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupAt, isOfRunner } from "./cgroup.ts";
import type { ContainerRef, ContainerRemover } from "./containers.ts";
import { createProcessWatch, readFacts } from "./process-table.ts";
import { signalGroup, trySignal } from "./signals.ts";

/** A process may start others until it is killed itself. */
const KILL_ROUNDS_MAX = 5;

/**
 * The server processes that this runner has started, on disk: a runner that was killed cannot end them, so the next one
 * on this machine does.
 */
export interface ProcessLedger {
  add(pid: number, traces: Traces): void;
  remove(pid: number): void;
}

/** What leads to all that a process has started, beside its group. */
export interface Traces {
  /** In the environment of all of them. */
  readonly marker: string;
  readonly cgroup: string | undefined;
  readonly container: ContainerRef | undefined;
}

interface Entry extends Partial<Traces> {
  readonly pid: number;
  readonly startedAt: string;
  readonly runnerPid: number;
  readonly runnerStartedAt: string;
}

/** Opens the ledger and ends what runners that are gone have left behind. Returns how many groups those were. */
export function openLedger(stateDir: string, containers: ContainerRemover): { ledger: ProcessLedger; ended: number } {
  const dir = join(stateDir, "processes");
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = (pid: number) => join(dir, `${pid}.json`);
  const left: Entry[] = [];
  let ended = 0;
  for (const name of readdirSync(dir)) {
    const entry = readEntry(join(dir, name));
    if (entry && startTimeOf(entry.runnerPid) === entry.runnerStartedAt) continue;
    rmSync(join(dir, name), { force: true });
    if (!entry) continue;
    left.push(entry);
    if (endGroup(entry)) ended += 1;
    if (entry.container) containers.remove(entry.container);
  }
  killMarked(new Set(left.flatMap(({ marker }) => marker ?? [])));
  for (const { cgroup } of left) if (cgroup !== undefined && isOfRunner(cgroup)) void endCgroup(cgroup);
  const runnerStartedAt = startTimeOf(process.pid);
  return {
    ended,
    ledger: {
      add(pid, traces) {
        const entry: Entry = { pid, startedAt: startTimeOf(pid), runnerPid: process.pid, runnerStartedAt, ...traces };
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

function endGroup({ pid, startedAt }: Entry): boolean {
  const now = startTimeOf(pid);
  // Another start time: the number went to another process. None: the leader is gone, its group may live on.
  if (now !== "" && now !== startedAt) return false;
  signalGroup(pid, "SIGKILL");
  return true;
}

/** Those that have left their group. */
function killMarked(markers: ReadonlySet<string>): void {
  if (markers.size === 0) return;
  const look = createProcessWatch();
  for (let round = 0; round < KILL_ROUNDS_MAX; round += 1) {
    const { byMarker } = look();
    const pids = [...markers].flatMap((marker) => byMarker.get(marker) ?? []);
    if (pids.length === 0) return;
    for (const pid of pids) trySignal(pid, "SIGKILL");
  }
}

async function endCgroup(dir: string): Promise<void> {
  const cgroup = cgroupAt(dir);
  cgroup.kill();
  await cgroup.remove();
}

/** The kernel's start time, or "" when it is gone or /proc is not there. */
const startTimeOf = (pid: number): string => readFacts(pid)?.startedAt ?? "";
