import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { endLeftover } from "@tollgate/embedded";
import { z } from "zod";
import { isRunning, mayHaveGroup, signal, untilGone } from "./process-identity.ts";
import { readRun } from "./run-file.ts";
import type { StateDir } from "./state-dir.ts";

/** A service ends by itself when its launcher is gone; it has this long before it is ended. */
const SERVICE_GRACE_MS = 5_000;
const KILLED_WITHIN_MS = 2_000;

/** Ends what a launcher that was killed has left running; gives the names. Only for when no launcher is alive. */
export async function endLeftovers(state: StateDir): Promise<string[]> {
  const run = readRun(state);
  const ended: string[] = [];
  await Promise.all(
    Object.entries(run?.processes ?? {}).map(async ([name, ref]) => {
      // NATS and PostgreSQL are stopped in their own way, below.
      if (name === "nats" || name === "postgres" || !isRunning(ref)) return;
      if (!(await untilGone(ref, SERVICE_GRACE_MS))) {
        signal(-ref.pid, "SIGKILL");
        await untilGone(ref, KILLED_WITHIN_MS);
      }
      ended.push(name);
    }),
  );
  if (endServerProcesses(state) > 0) ended.push("MCP servers");
  await Promise.all(
    [state.natsDir, state.postgresDir].map(async (dataDir) => {
      if ((await endLeftover({ dataDir })) !== undefined) ended.push(dataDir === state.natsDir ? "nats" : "postgres");
    }),
  );
  rmSync(state.runFile, { force: true });
  return ended;
}

/** What the runner writes down of each process group that it starts. */
const entry = z.object({ pid: z.number().int().min(2), startedAt: z.string() });

/** Ends the MCP servers, with all that they have started, which a killed runner has left. Gives how many. */
export function endServerProcesses(state: StateDir): number {
  const dir = join(state.runnerDir, "processes");
  let ended = 0;
  for (const name of namesIn(dir)) {
    const parsed = entry.safeParse(parseFile(join(dir, name)));
    rmSync(join(dir, name), { force: true });
    if (!parsed.success || !mayHaveGroup(parsed.data)) continue;
    signal(-parsed.data.pid, "SIGKILL");
    ended += 1;
  }
  return ended;
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function parseFile(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}
