import type { Log } from "@tollgate/service";
import type { Processes } from "./processes.ts";
import type { Slot } from "./slots.ts";

const ANSWER_MAX_MS = 10_000;

/**
 * Asks connections that have been silent for an interval whether anybody is there. One that does not answer is ended,
 * unless it has calls: some servers cannot answer while they work. When one of those calls has passed its deadline,
 * though, it is ended all the same.
 */
export interface HealthChecks {
  /** When the last one was answered. */
  readonly checkedAt: number | undefined;
  stop(): void;
}

export function startHealthChecks(options: { intervalMs: number; processes: Processes; log: Log }): HealthChecks {
  const { intervalMs, processes, log } = options;
  const answerMs = Math.min(intervalMs, ANSWER_MAX_MS);
  const heardOf = new WeakMap<Slot, number>();
  const asking = new WeakSet<Slot>();
  let checkedAt: number | undefined;

  async function check(slot: Slot): Promise<void> {
    const connection = slot.connection!;
    const heard = connection.heard;
    // Whatever it says shows that it is there.
    if (heardOf.get(slot) !== heard) {
      heardOf.set(slot, heard);
      slot.overdue = false;
      return;
    }
    const answered = await connection.check(answerMs);
    if (connection.heard !== heard) slot.overdue = false;
    if (answered) {
      checkedAt = Date.now();
      return;
    }
    if (slot.removed || connection.heard !== heard) return;
    const reason = `did not answer a health check within ${answerMs / 1_000} s`;
    if (slot.users === 0 || slot.overdue) return processes.fail(slot, reason);
    log.warn({ reason, pid: connection.pid, calls: slot.users }, "a server is silent, and may be at work");
  }

  function checkAll(): void {
    for (const slot of processes.slots.all()) {
      if (slot.connection === undefined || asking.has(slot)) continue;
      asking.add(slot);
      void check(slot).finally(() => asking.delete(slot));
    }
  }

  const timer = intervalMs > 0 ? setInterval(checkAll, intervalMs) : undefined;
  return {
    get checkedAt() {
      return checkedAt;
    },
    stop: () => clearInterval(timer),
  };
}
