import { type Latency, measureOpenLoop } from "@tollgate/testkit";
import { callerOf, expectOk, pause } from "../clients.ts";
import { type Line, line, ms, must } from "../report.ts";
import type { Setting, Stage } from "../stage.ts";

// One tenant has ten times what its plan allows in flight; another goes on as always.

const FLOODER = "north";
const VICTIM = "south";
const PLAN_CALLS = 16;
const FLOOD = 10 * PLAN_CALLS;
/** Half of the flood waits, the rest is refused. */
const PLAN_WAITING = FLOOD / 2;
const TOOL_MS = 100;
const VICTIM_CALLS_PER_SECOND = 50;
const VICTIM_LANES = 32;
const ROUNDS = 2;
const P99_RATIO_MAX = 2;

export const floodSetting: Setting = {
  groups: ["soak"],
  tenants: [FLOODER, VICTIM],
  servers: [{ id: "tool", group: "soak", more: "pool: { max: 4, calls_per_process: 32 }" }],
  more: [
    `plans: [{ name: small, max_concurrent: ${PLAN_CALLS}, max_waiting: ${PLAN_WAITING} }]`,
    `tenants: [{ id: ${FLOODER}, plan: small }, { id: ${VICTIM}, plan: small }]`,
  ].join("\n"),
};

export async function flood(stage: Stage, { phaseMs }: { phaseMs: number }): Promise<Line[]> {
  const quiet: Victims[] = [];
  const flooded: Victims[] = [];
  const counts: Flooded = { answered: 0, refused: 0, refusals: new Set() };
  await measureVictim(stage, phaseMs / 2);
  for (let round = 0; round < ROUNDS; round++) {
    quiet.push(await measureVictim(stage, phaseMs));
    const stop = startFlood(stage, counts);
    flooded.push(await measureVictim(stage, phaseMs));
    await stop();
  }
  const worst = (some: readonly Victims[]) => Math.max(...some.map(({ p99Ms }) => p99Ms));
  const ratio = worst(flooded) / worst(quiet);
  const failed = flooded.flatMap((each) => each.failed);
  return [
    must(
      "p99 of the other tenant without → with the flood",
      `${ms(worst(quiet))} → ${ms(worst(flooded))} (× ${ratio.toFixed(2)})`,
      `× ≤ ${P99_RATIO_MAX}`,
      ratio <= P99_RATIO_MAX,
    ),
    must(
      "calls of the other tenant that failed",
      failed.length === 0 ? "0" : `${failed.length}: ${failed[0]!}`,
      "0",
      failed.length === 0,
    ),
    must("calls of the flood that were refused", String(counts.refused), "some", counts.refused > 0),
    line("calls of the flood that were answered", String(counts.answered)),
    line("what the flood was told", [...counts.refusals].slice(0, 2).join("; ") || "nothing"),
  ];
}

interface Victims extends Latency {
  readonly failed: readonly string[];
}

async function measureVictim(stage: Stage, durationMs: number): Promise<Victims> {
  const call = callerOf(stage, VICTIM);
  const failed: string[] = [];
  const lane = async (): Promise<void> => {
    await expectOk(call("tool__echo", { message: "m" })).catch((error: Error) => failed.push(error.message));
  };
  const latency = await measureOpenLoop(
    Array.from({ length: VICTIM_LANES }, () => lane),
    { perSecond: VICTIM_CALLS_PER_SECOND, durationMs },
  );
  return { ...latency, failed };
}

interface Flooded {
  answered: number;
  refused: number;
  readonly refusals: Set<string>;
}

/** Each client that is refused comes again when it is told to, as real ones do. */
function startFlood(stage: Stage, counts: Flooded): () => Promise<unknown> {
  const call = callerOf(stage, FLOODER);
  const stopping = new AbortController();
  const lane = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const { ok, text, retryAfterSeconds } = await call("tool__sleep", { ms: TOOL_MS });
      if (ok) counts.answered += 1;
      else {
        counts.refused += 1;
        counts.refusals.add(text);
        await pause((retryAfterSeconds ?? 1) * 1000);
      }
    }
  };
  const lanes = Promise.all(Array.from({ length: FLOOD }, lane));
  return () => {
    stopping.abort();
    return lanes;
  };
}
