import type { Cgroup } from "./cgroup.ts";
import { type CpuClock, processClock } from "./cpu-clock.ts";
import type { ProcessFacts, ProcessTable } from "./process-table.ts";
import { signalGroup, trySignal } from "./signals.ts";

const KILL_ROUNDS_MAX = 50;
const KILL_ROUND_MS = 10;

/** A server's first process and all that it has started, also what has left its group. */
export interface ProcessSet {
  /** Those that are there. `table`: where there is no cgroup to ask. */
  members(table: () => ProcessTable): readonly number[];
  /** Never falls. */
  cpuMs(): number;
  stop(): void;
  resume(): void;
  terminate(table: () => ProcessTable): void;
  kill(table: () => ProcessTable): void;
  /** Kills until nothing is left, for half a second at the most. */
  clear(table: () => ProcessTable): Promise<void>;
}

export interface SetOptions {
  readonly leader: number;
  readonly marker: string;
  readonly cgroup: Cgroup | undefined;
  /** The leader is bubblewrap's own: it would end the others at once, without a word. */
  readonly leaderIsSandbox: boolean;
}

export function createProcessSet(options: SetOptions): ProcessSet {
  const { leader, marker, cgroup, leaderIsSandbox } = options;
  /** Of the last look. Who has been a member stays one, even when its parent is gone and its marker is, too. */
  let known = new Map<number, string>();
  const clocks = new Map<number, CpuClock>();
  let usedMs = 0;
  let cleared = false;

  function look(table: ProcessTable): number[] {
    const found = new Map<number, string>();
    const rest = [leader, ...(table.byGroup.get(leader) ?? []), ...(table.byMarker.get(marker) ?? []), ...known.keys()];
    for (let pid = rest.pop(); pid !== undefined; pid = rest.pop()) {
      const facts = table.facts.get(pid);
      if (!facts || found.has(pid) || wasAnother(known, facts)) continue;
      found.set(pid, facts.startedAt);
      rest.push(...(table.byParent.get(pid) ?? []));
    }
    known = found;
    for (const [pid, clock] of clocks) if (!found.has(pid)) closeClock(pid, clock);
    return [...found.keys()];
  }

  function closeClock(pid: number, clock: CpuClock): void {
    clock.close();
    clocks.delete(pid);
  }

  function timeOf(pid: number): number {
    let clock = clocks.get(pid);
    if (clock === undefined) clocks.set(pid, (clock = processClock(pid)));
    return clock.readMs() ?? 0;
  }

  function timeOfAll(): number {
    // Before the first look at all processes there is the leader alone.
    let sum = known.has(leader) ? 0 : timeOf(leader);
    for (const pid of known.keys()) sum += timeOf(pid);
    return sum;
  }

  const members = (table: () => ProcessTable) => (cgroup ? cgroup.pids() : look(table()));

  function signalAll(signal: NodeJS.Signals, pids: Iterable<number>): void {
    signalGroup(leader, signal);
    for (const pid of pids) trySignal(pid, signal);
  }

  function resume(): void {
    if (cgroup) cgroup.freeze(false);
    else signalAll("SIGCONT", known.keys());
  }

  function kill(table: () => ProcessTable): void {
    if (cgroup?.kill()) return;
    signalAll("SIGKILL", members(table));
  }

  return {
    members,
    cpuMs() {
      // It never falls: the time of a process whose end nobody has waited for would be forgotten.
      if (!cleared) usedMs = Math.max(usedMs, cgroup ? cgroup.cpuMs() : timeOfAll());
      return usedMs;
    },
    stop() {
      if (cgroup) cgroup.freeze(true);
      else signalAll("SIGSTOP", known.keys());
    },
    resume,
    terminate(table) {
      resume();
      const pids = members(table);
      for (const pid of pids) if (pid !== leader || !leaderIsSandbox) trySignal(pid, "SIGTERM");
      // Where processes cannot be listed.
      if (pids.length === 0) signalGroup(leader, "SIGTERM");
    },
    kill,
    async clear(table) {
      signalGroup(leader, "SIGKILL");
      for (let round = 0; round < KILL_ROUNDS_MAX && members(table).length > 0; round += 1) {
        kill(table);
        await new Promise((resolve) => setTimeout(resolve, KILL_ROUND_MS));
      }
      // All of it, with what was used since somebody asked last.
      this.cpuMs();
      cleared = true;
      for (const [pid, clock] of clocks) closeClock(pid, clock);
    },
  };
}

/** The number has gone to a process that has nothing to do with it. */
function wasAnother(known: ReadonlyMap<number, string>, { pid, startedAt }: ProcessFacts): boolean {
  const before = known.get(pid);
  return before !== undefined && before !== startedAt;
}
