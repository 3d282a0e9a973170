import { readdirSync, readFileSync } from "node:fs";

/** In the environment of a server's process and of all that it starts: finds those that have left its group. */
export const MARKER_NAME = "TOLLGATE_PROCESS";
/** The kernel counts in hundredths of a second wherever it shows times to programs (proc(5), USER_HZ). */
const MS_PER_TICK = 10;
const USUAL_PAGE_BYTES = 4_096;

/** One line of /proc/<pid>/stat, as far as it matters here (proc(5)). */
export interface ProcessFacts {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  /** In ticks since the machine started: with the pid it names a process for good. */
  readonly startedAt: string;
  /** Its own time, and that of children that have ended. */
  readonly cpuMs: number;
}

/** All processes of the machine at one moment. Zombies are none. */
export interface ProcessTable {
  readonly facts: ReadonlyMap<number, ProcessFacts>;
  readonly byParent: ReadonlyMap<number, readonly number[]>;
  readonly byGroup: ReadonlyMap<number, readonly number[]>;
  readonly byMarker: ReadonlyMap<string, readonly number[]>;
}

/** Looks at /proc; empty where there is none. The environment of each process is read once. */
export function createProcessWatch(): () => ProcessTable {
  let known = new Map<number, { readonly startedAt: string; readonly marker: string }>();
  return () => {
    const table = { facts: new Map(), byParent: new Map(), byGroup: new Map(), byMarker: new Map() };
    const seen: typeof known = new Map();
    for (const pid of listPids()) {
      const facts = readFacts(pid);
      if (!facts) continue;
      const before = known.get(pid);
      const marker = before?.startedAt === facts.startedAt ? before.marker : markerOf(pid);
      seen.set(pid, { startedAt: facts.startedAt, marker });
      table.facts.set(pid, facts);
      append(table.byParent, facts.parent, pid);
      append(table.byGroup, facts.group, pid);
      if (marker !== "") append(table.byMarker, marker, pid);
    }
    known = seen;
    return table;
  };
}

function append<K>(map: Map<K, number[]>, key: K, pid: number): void {
  const list = map.get(key);
  if (list) list.push(pid);
  else map.set(key, [pid]);
}

function listPids(): number[] {
  try {
    return readdirSync("/proc").map(Number).filter(Number.isSafeInteger);
  } catch {
    return [];
  }
}

/** Undefined when it is gone, or a zombie that nobody has collected. */
export function readFacts(pid: number): ProcessFacts | undefined {
  const stat = read(`/proc/${pid}/stat`);
  // The name stands in brackets and may hold anything, brackets too.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (stat === "" || fields[0] === "Z" || fields[0] === "X") return undefined;
  const ticks = Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14]);
  return {
    pid,
    parent: Number(fields[1]),
    group: Number(fields[2]),
    startedAt: fields[19] ?? "",
    cpuMs: ticks * MS_PER_TICK,
  };
}

/** What of it is in memory, with what it shares. 0 when it is gone. */
export function residentBytes(pid: number): number {
  const pages = Number(read(`/proc/${pid}/statm`).split(" ")[1] ?? 0);
  return pages * (pageBytes ??= readPageBytes());
}

/** The same with its share of what is shared only. Dear: the kernel walks all of its pages. */
export function proportionalBytes(pid: number): number {
  const kib = /^Pss:\s+(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1];
  return kib === undefined ? residentBytes(pid) : Number(kib) * 1_024;
}

let pageBytes: number | undefined;

function readPageBytes(): number {
  const kib = /^KernelPageSize:\s+(\d+) kB/m.exec(read("/proc/self/smaps"))?.[1];
  return kib === undefined ? USUAL_PAGE_BYTES : Number(kib) * 1_024;
}

/** "" where it has none, or belongs to another user. */
function markerOf(pid: number): string {
  const environment = `\0${read(`/proc/${pid}/environ`)}`;
  const start = environment.indexOf(`\0${MARKER_NAME}=`);
  if (start < 0) return "";
  const value = start + MARKER_NAME.length + 2;
  const end = environment.indexOf("\0", value);
  return environment.slice(value, end < 0 ? undefined : end);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
