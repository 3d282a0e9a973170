/** What may be used ahead, so that a short burst is not stopped. */
const AHEAD_MS = 100;
/** What can be owed: nothing is stopped for longer than it takes to make up for this. */
const OWED_MAX_MS = 1_000;

/** How much time of the processors a server may use, kept by stopping it for as long as it has used too much. */
export interface CpuBudget {
  /** What it has used meanwhile. True: it is to stand still now. */
  spend(usedMs: number, elapsedMs: number): boolean;
}

export function createCpuBudget(cores: number): CpuBudget {
  let owedMs = 0;
  return {
    spend(usedMs, elapsedMs) {
      owedMs = Math.min(Math.max(owedMs + usedMs - elapsedMs * cores, -AHEAD_MS * cores), OWED_MAX_MS * cores);
      return owedMs > 0;
    },
  };
}
