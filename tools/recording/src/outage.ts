import { setTimeout as pause } from "node:timers/promises";
import { type Line, line, must } from "@tollgate/testkit";
import { startLoad } from "./load.ts";
import { reconcile } from "./reconcile.ts";
import type { Stage } from "./stage.ts";

const BEFORE_MS = 5_000;
const AFTER_MS = 5_000;

/** The database is killed under load and stays away: no call may fail, and all of it is there afterwards. */
export async function playOutage(stage: Stage, options: { awayMs: number; perSecond: number }): Promise<Line[]> {
  const { awayMs, perSecond } = options;
  const total = Math.round(((BEFORE_MS + awayMs + AFTER_MS) * perSecond) / 1_000);
  const load = startLoad(stage, { total, perSecond });
  await pause(BEFORE_MS);
  await stage.servers.kill("postgres");
  await pause(awayMs);
  await stage.servers.start("postgres");
  await load.done;
  const failed = [...load.reasons].map(([reason, count]) => `${reason} ${count}`).join(", ");
  return [
    line("database away", `${awayMs / 1_000} s`),
    must("calls that failed", failed || "0", "0", failed === ""),
    ...(await reconcile(stage, load)),
  ];
}
