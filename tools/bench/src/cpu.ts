import { readProcesses } from "@tollgate/testkit";

/** The kernel counts processor time in hundredths of a second. */
const TICK_MS = 10;

/** Processor time in milliseconds of each named process together with all its descendants that live now. */
export function readCpu(roots: Readonly<Record<string, number>>): Record<string, number> {
  const owner = new Map(Object.entries(roots).map(([name, pid]) => [pid, name]));
  const processes = new Map(readProcesses().map((each) => [each.pid, each]));
  const total: Record<string, number> = Object.fromEntries(Object.keys(roots).map((name) => [name, 0]));
  for (const [pid, { ticks }] of processes) {
    for (let at: number | undefined = pid; at !== undefined && at > 1; at = processes.get(at)?.parent) {
      const name = owner.get(at);
      if (name === undefined) continue;
      total[name]! += ticks * TICK_MS;
      break;
    }
  }
  return total;
}
