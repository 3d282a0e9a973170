import type { CallCounts, Outcome } from "@tollgate/contracts";

/** The percentiles are of so many of a server's last calls. */
const DURATIONS_MAX = 1_000;
/** Of more, the one that was first called longest ago is forgotten. */
const SERVERS_MAX = 1_000;

export interface EndedCall {
  readonly outcome: Outcome;
  readonly coldStart: boolean;
  readonly retries: number;
  /** Answered by another server or by an earlier result. */
  readonly fellBack: boolean;
  /** Milliseconds in the server; undefined when no server was handed the call. */
  readonly durationMs: number | undefined;
}

/** How the calls of each server went. */
export interface ServerCallCounts {
  add(server: string, call: EndedCall): void;
  of(server: string): CallCounts;
}

interface Counted {
  readonly ended: Partial<Record<Outcome, number>>;
  /** A ring: the newest stands where the oldest stood. */
  readonly durations: Float64Array;
  measured: number;
  coldStarts: number;
  retries: number;
  fallbacks: number;
}

export function createCallCounts(): ServerCallCounts {
  const servers = new Map<string, Counted>();

  function countedOf(server: string): Counted {
    let counted = servers.get(server);
    if (counted === undefined) {
      if (servers.size >= SERVERS_MAX) servers.delete(servers.keys().next().value!);
      const durations = new Float64Array(DURATIONS_MAX);
      counted = { ended: {}, durations, measured: 0, coldStarts: 0, retries: 0, fallbacks: 0 };
      servers.set(server, counted);
    }
    return counted;
  }

  return {
    add(server, { outcome, coldStart, retries, fellBack, durationMs }) {
      const counted = countedOf(server);
      counted.ended[outcome] = (counted.ended[outcome] ?? 0) + 1;
      counted.coldStarts += coldStart ? 1 : 0;
      counted.retries += retries;
      counted.fallbacks += fellBack ? 1 : 0;
      if (durationMs !== undefined) counted.durations[counted.measured++ % DURATIONS_MAX] = durationMs;
    },
    of(server) {
      const counted = servers.get(server);
      if (counted === undefined) return NONE;
      const { ended, durations, measured, coldStarts, retries, fallbacks } = counted;
      const sorted = durations.subarray(0, measured).toSorted();
      const durationMs = { p50: percentile(sorted, 50), p95: percentile(sorted, 95), p99: percentile(sorted, 99) };
      return { ended: { ...ended }, coldStarts, retries, fallbacks, durationMs };
    },
  };
}

const NONE: CallCounts = {
  ended: {},
  coldStarts: 0,
  retries: 0,
  fallbacks: 0,
  durationMs: { p50: 0, p95: 0, p99: 0 },
};

/** Nearest rank; milliseconds with three decimals. */
function percentile(sorted: Float64Array, percent: number): number {
  const value = sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? 0;
  return Math.round(value * 1_000) / 1_000;
}
