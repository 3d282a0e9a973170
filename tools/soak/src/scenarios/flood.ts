import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { callerOf, pause } from "../clients.ts";
import { type Line, line, must } from "@tollgate/testkit";
import type { Flooded, FloodOrder } from "../flood-process.ts";
import type { Setting, Stage } from "../stage.ts";
import { judgeVictims, measureVictims, ROUNDS, type Victims } from "../victims.ts";

// One tenant has ten times what its plan allows in flight; another goes on as always.

const FLOODER = "north";
const VICTIM = "south";
const PLAN_CALLS = 16;
const FLOOD = 10 * PLAN_CALLS;
/** Half of the flood waits, the rest is refused. */
const PLAN_WAITING = FLOOD / 2;
const TOOL_MS = 100;
const VICTIM_CALLS_PER_SECOND = 50;
const FLOOD_BEGINS_MS = 1_000;

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
  const call = callerOf(stage, VICTIM);
  const measure = (durationMs: number) =>
    measureVictims(call, { tools: ["tool__echo"], perSecond: VICTIM_CALLS_PER_SECOND, durationMs });
  const quiet: Victims[] = [];
  const flooded: Victims[] = [];
  const came: Flooded[] = [];
  const other = await openFlood(stage);
  // The first round is for connections that are opened and code that runs for the first time.
  for (let round = 0; round <= ROUNDS; round++) {
    quiet.push(await measure(phaseMs));
    other.begin();
    await pause(FLOOD_BEGINS_MS);
    flooded.push(await measure(phaseMs));
    came.push(await other.end());
  }
  other.close();
  const refused = came.reduce((sum, each) => sum + each.refused, 0);
  return [
    ...judgeVictims("flood", quiet.slice(1), flooded.slice(1)),
    must("calls of the flood that were refused", String(refused), "some", refused > 0),
    line("calls of the flood that were answered", String(came.reduce((sum, each) => sum + each.answered, 0))),
    line("what the flood was told", came[0]?.told[0] ?? "nothing"),
  ];
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
