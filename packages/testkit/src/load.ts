/** What is measured: one call; it has checked its reply when it resolves. */
export type Call = (n: number) => Promise<void>;

export interface Latency {
  readonly calls: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Throughput {
  readonly calls: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** One call after the other. */
export async function measureSerial(call: Call, calls: number): Promise<Latency> {
  const times: number[] = [];
  for (let n = 0; n < calls; n++) {
    const began = performance.now();
    await call(n);
    times.push(performance.now() - began);
  }
  return { calls, ...percentiles(times) };
}

/** `lanes.length` calls under way at any time, for `durationMs`. */
export async function measureClosedLoop(lanes: readonly Call[], durationMs: number): Promise<Throughput> {
  const times: number[] = [];
  const began = performance.now();
  const until = began + durationMs;
  let n = 0;
  await Promise.all(
    lanes.map(async (call) => {
      while (performance.now() < until) {
        const start = performance.now();
        await call(n++);
        times.push(performance.now() - start);
      }
    }),
  );
  const seconds = (performance.now() - began) / 1000;
  return { calls: times.length, perSecond: times.length / seconds, ...percentiles(times) };
}

/**
 * Calls begun at a fixed rate whatever the answers do, each measured from when it was meant to begin, so that a pause
 * of the system counts for every call that it delayed (no coordinated omission).
 */
export async function measureOpenLoop(
  lanes: readonly Call[],
  options: { perSecond: number; durationMs: number },
): Promise<Latency> {
  const times: number[] = [];
  const total = Math.floor((options.perSecond * options.durationMs) / 1000);
  const began = performance.now();
  let n = 0;
  await Promise.all(
    lanes.map(async (call) => {
      for (let mine = n++; mine < total; mine = n++) {
        const intended = began + (mine * 1000) / options.perSecond;
        const wait = intended - performance.now();
        if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
        await call(mine);
        times.push(performance.now() - intended);
      }
    }),
  );
  return { calls: times.length, ...percentiles(times) };
}

function percentiles(times: number[]): { p50Ms: number; p99Ms: number } {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}
