import type { ServerHealth } from "@tollgate/contracts";
import { describe, expect, test } from "vitest";
import { stateOf, totalsOf } from "./server-health.ts";

const health = (fields: Partial<ServerHealth> = {}): ServerHealth => ({
  server: "one",
  runner: "r-1",
  at: 1,
  state: "ready",
  generation: 0,
  isolation: "none",
  limitsBy: "none",
  pool: {
    mode: "multiplexed",
    processes: 2,
    starting: 1,
    busy: 1,
    min: 0,
    max: 4,
    callsRunning: 3,
    callsWaiting: 5,
    queue: 100,
  },
  breaker: "closed",
  toolBreakers: {},
  restarts: 1,
  starts: 3,
  processes: [],
  calls: {
    ended: { ok: 2, error: 1 },
    coldStarts: 1,
    retries: 2,
    fallbacks: 3,
    durationMs: { p50: 1, p95: 2, p99: 3 },
  },
  ...fields,
});

describe("the state of a server", () => {
  test("is that of the runner that serves it best", () => {
    const of = (...states: ServerHealth["state"][]) => stateOf(states.map((state) => health({ state })));
    expect(of("crash-loop", "ready", "starting")).toBe("ready");
    expect(of("unavailable", "idle", "starting")).toBe("idle");
    expect(of("crash-loop", "unavailable")).toBe("unavailable");
    expect(of("crash-loop")).toBe("crash-loop");
    expect(of()).toBeUndefined();
  });
});

describe("a server's figures", () => {
  test("are summed over its runners", () => {
    const other = health({ calls: { ...health().calls, ended: { ok: 5, unknown: 1 } } });
    expect(totalsOf([health(), other])).toEqual({
      processes: 4,
      starting: 2,
      busy: 2,
      callsRunning: 6,
      callsWaiting: 10,
      restarts: 2,
      starts: 6,
      breaker: "closed",
      toolBreakers: {},
      calls: { ok: 7, error: 1, unknown: 1 },
      coldStarts: 2,
      retries: 4,
      fallbacks: 6,
      memoryBytes: null,
      cpuMs: null,
    });
    expect(totalsOf([])).toMatchObject({ processes: 0, calls: {}, breaker: "closed", memoryBytes: null });
  });

  test("say that a breaker is open where it is in one runner", () => {
    const some = [
      health({ breaker: "half-open", toolBreakers: { echo: "half-open", other: "open" } }),
      health({ breaker: "open", toolBreakers: { echo: "open" } }),
    ];
    expect(totalsOf(some)).toMatchObject({ breaker: "open", toolBreakers: { echo: "open", other: "open" } });
    expect(totalsOf(some.slice(0, 1)).breaker).toBe("half-open");
  });

  test("count what the counted processes use", () => {
    const process = { tenant: "", calls: 0, startedAt: 1 };
    const counted = { ...process, pid: 2, memoryBytes: 100, cpuMs: 0 };
    const totals = totalsOf([
      health({ processes: [{ ...process, pid: 1 }, counted] }),
      health({ processes: [{ ...counted, pid: 3, memoryBytes: 11 }] }),
    ]);
    expect([totals.memoryBytes, totals.cpuMs]).toEqual([111, 0]);
  });
});
