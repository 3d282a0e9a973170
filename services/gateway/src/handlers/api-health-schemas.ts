import type { ServerHealth } from "@tollgate/contracts";
import { z } from "zod";

const count = z.number().nonnegative();
const ms = count.meta({ description: "Unix milliseconds" });
const breaker = z.enum(["closed", "open", "half-open"]);
const breakers = z.record(z.string(), breaker).meta({ description: "Of tools whose breaker is not closed" });
const latencies = z.object({ p50: count, p95: count, p99: count });

const pool = z.object({
  mode: z.string().meta({ description: "multiplexed, exclusive or session" }),
  processes: count,
  starting: count,
  busy: count.meta({ description: "Processes with calls" }),
  min: count,
  max: count,
  callsRunning: count,
  callsWaiting: count,
  queue: count.meta({ description: "How many calls may wait" }),
});
const process = z.object({
  pid: count.meta({ description: "0 for a remote server" }),
  tenant: z.string().meta({ description: "Empty while it is nobody's, or everybody's" }),
  calls: count,
  startedAt: ms,
  memoryBytes: count.optional(),
  cpuMs: count.optional(),
  processes: count.optional(),
});
const calls = z.object({
  ended: z.record(z.string(), count).meta({ description: "By outcome" }),
  coldStarts: count,
  retries: count,
  fallbacks: count,
  durationMs: latencies,
});

/** What a runner says: one of another version may say it in another way, and is left out then. */
const runner = z.object({
  server: z.string(),
  runner: z.string(),
  at: ms,
  state: z.enum(["starting", "ready", "idle", "unavailable", "crash-loop"]),
  generation: count,
  isolation: z.string(),
  limitsBy: z.string(),
  pool,
  breaker,
  toolBreakers: breakers,
  restarts: count,
  starts: count,
  checkedAt: ms.optional(),
  processes: z.array(process).readonly(),
  calls,
});

export function isServerHealth(answer: unknown): answer is ServerHealth {
  return runner.safeParse(answer).success;
}

const note = z.string().optional().meta({ description: "Why there is no runner" });

export const health = z.object({
  server: z.string().meta({ examples: ["filesystem"] }),
  status: z.string().meta({ description: "As in the server's details" }),
  reason: z.string(),
  state: z
    .enum(["starting", "ready", "idle", "unavailable", "crash-loop", "disabled", "unknown"])
    .meta({ description: "The best of its runners; unknown when none has answered", examples: ["ready"] }),
  generation: count.meta({ description: "Counts the restarts that were asked for; a runner's own follows it" }),
  runners: z.array(runner),
  note,
});

export const metrics = z.object({
  server: z.string().meta({ examples: ["filesystem"] }),
  processes: count,
  starting: count,
  busy: count,
  callsRunning: count,
  callsWaiting: count,
  restarts: count.meta({ description: "Processes that ended by themselves or at a limit" }),
  starts: count,
  breaker: breaker.meta({ description: "The worst of its runners" }),
  toolBreakers: breakers,
  calls: z.record(z.string(), count).meta({
    description: "Ended, by outcome, since the runners have the server",
    examples: [{ ok: 1200, tool_error: 3 }],
  }),
  coldStarts: count,
  retries: count.meta({ description: "Calls tried again after a process had died" }),
  fallbacks: count.meta({ description: "Calls answered by another server or by an earlier result" }),
  memoryBytes: count.nullable().meta({ description: "Null where nobody counts" }),
  cpuMs: count.nullable(),
  runners: z.array(
    z.object({ runner: z.string(), durationMs: latencies.meta({ description: "Of its last 1,000 calls" }) }),
  ),
  note,
});

export const restarted = z.object({ server: z.string(), generation: count.meta({ examples: [3] }) });
