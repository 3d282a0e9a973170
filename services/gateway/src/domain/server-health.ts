import type { BreakerState, ServerHealth } from "@tollgate/contracts";

/** The best first: a server is ready when one runner serves it. */
const STATES: readonly ServerHealth["state"][] = ["ready", "idle", "starting", "unavailable", "crash-loop"];
/** The worst first: a breaker that is open anywhere refuses calls. */
const BREAKERS: readonly BreakerState[] = ["open", "half-open", "closed"];

/** Of a server as a whole; undefined when no runner has said anything. */
export function stateOf(runners: readonly ServerHealth[]): ServerHealth["state"] | undefined {
  return STATES.find((state) => runners.some((each) => each.state === state));
}

/** Over all runners of a server. */
export interface ServerTotals {
  readonly processes: number;
  readonly starting: number;
  readonly busy: number;
  readonly callsRunning: number;
  readonly callsWaiting: number;
  readonly restarts: number;
  readonly starts: number;
  readonly breaker: BreakerState;
  /** Of tools whose breaker is not closed everywhere. */
  readonly toolBreakers: Readonly<Record<string, BreakerState>>;
  /** By outcome. */
  readonly calls: Readonly<Record<string, number>>;
  readonly coldStarts: number;
  readonly retries: number;
  readonly fallbacks: number;
  /** Of the processes that are counted; null where none is. */
  readonly memoryBytes: number | null;
  readonly cpuMs: number | null;
}

export function totalsOf(runners: readonly ServerHealth[]): ServerTotals {
  const sum = (count: (runner: ServerHealth) => number) => runners.reduce((total, each) => total + count(each), 0);
  const processes = runners.flatMap((each) => each.processes);
  return {
    processes: sum(({ pool }) => pool.processes),
    starting: sum(({ pool }) => pool.starting),
    busy: sum(({ pool }) => pool.busy),
    callsRunning: sum(({ pool }) => pool.callsRunning),
    callsWaiting: sum(({ pool }) => pool.callsWaiting),
    restarts: sum(({ restarts }) => restarts),
    starts: sum(({ starts }) => starts),
    breaker: worst(runners.map(({ breaker }) => breaker)),
    toolBreakers: mergeTools(runners),
    calls: mergeCounts(runners.map(({ calls }) => calls.ended)),
    coldStarts: sum(({ calls }) => calls.coldStarts),
    retries: sum(({ calls }) => calls.retries),
    fallbacks: sum(({ calls }) => calls.fallbacks),
    memoryBytes: sumOfCounted(processes.map(({ memoryBytes }) => memoryBytes)),
    cpuMs: sumOfCounted(processes.map(({ cpuMs }) => cpuMs)),
  };
}

function worst(states: readonly BreakerState[]): BreakerState {
  return BREAKERS.find((state) => states.includes(state)) ?? "closed";
}

function mergeTools(runners: readonly ServerHealth[]): Record<string, BreakerState> {
  const found = new Map<string, BreakerState>();
  for (const { toolBreakers } of runners)
    for (const [tool, state] of Object.entries(toolBreakers))
      found.set(tool, worst([state, found.get(tool) ?? "closed"]));
  return Object.fromEntries(found);
}

function mergeCounts(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total = new Map<string, number>();
  for (const each of counts)
    for (const [key, count] of Object.entries(each)) total.set(key, (total.get(key) ?? 0) + count);
  return Object.fromEntries(total);
}

function sumOfCounted(values: readonly (number | undefined)[]): number | null {
  const counted = values.filter((each) => each !== undefined);
  return counted.length === 0 ? null : counted.reduce((total, each) => total + each, 0);
}
