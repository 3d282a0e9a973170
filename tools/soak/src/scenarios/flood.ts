import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { type Latency, measureOpenLoop } from "@tollgate/testkit";
import { callerOf, expectOk } from "../clients.ts";
import { type Line, line, ms, must } from "../report.ts";
import type { Flooded, FloodOrder } from "../flood-process.ts";
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
  const came: Flooded[] = [];
  const other = await openFlood(stage);
  await measureVictim(stage, phaseMs / 2);
  for (let round = 0; round < ROUNDS; round++) {
    quiet.push(await measureVictim(stage, phaseMs));
    other.begin();
    flooded.push(await measureVictim(stage, phaseMs));
    came.push(await other.end());
  }
  other.close();
  const worst = (some: readonly Victims[]) => Math.max(...some.map(({ p99Ms }) => p99Ms));
  const ratio = worst(flooded) / worst(quiet);
  const failed = flooded.flatMap((each) => each.failed);
  const refused = came.reduce((sum, each) => sum + each.refused, 0);
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
    must("calls of the flood that were refused", String(refused), "some", refused > 0),
    line("calls of the flood that were answered", String(came.reduce((sum, each) => sum + each.answered, 0))),
    line("what the flood was told", came[0]?.told[0] ?? "nothing"),
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

async function openFlood({ system }: Stage): Promise<{ begin(): void; end(): Promise<Flooded>; close(): void }> {
  const child = fork(join(import.meta.dirname, "..", "flood-process.ts"), { stdio: "inherit" });
  const [url, token] = [`${system.gatewayUrl}/mcp`, system.tokenOf(FLOODER)];
  const order: FloodOrder = { url, token, tool: "tool__sleep", ms: TOOL_MS, lanes: FLOOD };
  child.send(order);
  return {
    begin: () => void child.send("begin"),
    async end() {
      child.send("end");
      const [flooded] = (await once(child, "message")) as [Flooded];
      return flooded;
    },
    close: () => child.disconnect(),
  };
}
