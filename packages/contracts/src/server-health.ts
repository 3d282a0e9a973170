/** What one runner says of one server of its groups when it is asked. Times are Unix milliseconds. */
export interface ServerHealth {
  readonly server: string;
  readonly runner: string;
  readonly at: number;
  /**
   * - `starting`: nothing is known yet; `ready`: calls are served; `idle`: the next call starts a process
   * - `unavailable`: it failed and is tried again after a pause; `crash-loop`: it failed again and again
   */
  readonly state: "starting" | "ready" | "idle" | "unavailable" | "crash-loop";
  /** The restarts that were asked for, as this runner has carried them out. */
  readonly generation: number;
  readonly isolation: Isolation;
  readonly limitsBy: LimitsBy;
  readonly pool: PoolState;
  readonly breaker: BreakerState;
  /** Of tools whose breaker is not closed. */
  readonly toolBreakers: Readonly<Record<string, BreakerState>>;
  /** Processes that ended by themselves, or were ended at a limit, since this runner has the server. */
  readonly restarts: number;
  /** Processes that were started in all. */
  readonly starts: number;
  /** When the last health check was answered; absent before the first. */
  readonly checkedAt?: number;
  readonly processes: readonly ProcessHealth[];
  readonly calls: CallCounts;
}

/** How a process is kept from seeing others and files. */
export type Isolation = "bubblewrap" | "container" | "none" | "";
/** Who holds a process to its limits. `engine`: that of its container. */
export type LimitsBy = "cgroup" | "prlimit" | "engine" | "none" | "";

export interface PoolState {
  readonly mode: string;
  readonly processes: number;
  /** Of them, still starting. */
  readonly starting: number;
  /** Processes with calls. */
  readonly busy: number;
  readonly min: number;
  readonly max: number;
  readonly callsRunning: number;
  readonly callsWaiting: number;
  readonly queue: number;
}

export type BreakerState = "closed" | "open" | "half-open";

export interface ProcessHealth {
  /** 0 for a remote server. */
  readonly pid: number;
  /** Empty while it is nobody's, or everybody's. */
  readonly tenant: string;
  readonly calls: number;
  readonly startedAt: number;
  /** Of the process and all that it has started; absent where nobody counts. */
  readonly memoryBytes?: number;
  readonly cpuMs?: number;
  readonly processes?: number;
}

/** Since this runner has the server. */
export interface CallCounts {
  /** By outcome. */
  readonly ended: Readonly<Record<string, number>>;
  readonly coldStarts: number;
  /** Tried again after a process had died. */
  readonly retries: number;
  /** Answered by another server or by an earlier result. */
  readonly fallbacks: number;
  /** Milliseconds in the server, of the last calls; 0 without any. */
  readonly durationMs: { readonly p50: number; readonly p95: number; readonly p99: number };
}
