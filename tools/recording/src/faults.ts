import { setTimeout as pause } from "node:timers/promises";
import { type Line, line } from "@tollgate/testkit";
import { startLoad } from "./load.ts";
import { reconcile } from "./reconcile.ts";
import type { Stage } from "./stage.ts";

const VICTIMS = ["audit", "metering", "postgres", "nats"] as const;
type Victim = (typeof VICTIMS)[number];
/** Between two kills, and before what was killed starts again. */
const PAUSE_MAX_MS = 6_000;
const AWAY_MAX_MS = 3_000;

/** kill -9 of one after the other, chosen by chance, for as long as the calls last. */
export async function playFaults(stage: Stage, options: { total: number; perSecond: number }): Promise<Line[]> {
  const load = startLoad(stage, options);
  const kills = new Map<Victim, number>(VICTIMS.map((victim) => [victim, 0]));
  const ended = load.done.then(() => true);
  while (!(await Promise.race([ended, pause(Math.random() * PAUSE_MAX_MS, false)]))) {
    const victim = VICTIMS[Math.floor(Math.random() * VICTIMS.length)]!;
    await kill(stage, victim);
    kills.set(victim, kills.get(victim)! + 1);
    await pause(Math.random() * AWAY_MAX_MS);
    await start(stage, victim);
  }
  const killed = [...kills].map(([victim, count]) => `${victim} ${count}`).join(", ");
  const reasons = [...load.reasons].map(([reason, count]) => `${reason} ${count}`).join(", ");
  return [line("killed", killed), line("not answered well", reasons || "none"), ...(await reconcile(stage, load))];
}

function kill({ servers, system }: Stage, victim: Victim): Promise<void> {
  return victim === "postgres" || victim === "nats" ? servers.kill(victim) : system.kill(victim);
}

function start({ servers, system }: Stage, victim: Victim): Promise<void> {
  return victim === "postgres" || victim === "nats" ? servers.start(victim) : system.start(victim);
}
