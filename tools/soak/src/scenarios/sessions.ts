import { openSession, pause } from "../clients.ts";
import { type Line, line, must } from "@tollgate/testkit";
import type { Setting, Stage } from "../stage.ts";

// A server with state in its process, while the runners of its group become three and one again.

const TENANT = "north";
const CALLS = 100;
const SESSIONS = 5;

export const sessionsSetting: Setting = {
  groups: ["soak"],
  tenants: [TENANT],
  servers: [{ id: "stateful", group: "soak", more: "pool: { mode: session, min: 0, max: 16, max_per_tenant: 16 }" }],
};

interface Progress {
  calls: number;
  /** Times that a call came to another process than the one before. */
  moves: number;
  /** The process's count did not go on from the call before. */
  lost: number;
  readonly problems: string[];
}

export async function sessions(stage: Stage, { pauseMs }: { pauseMs: number }): Promise<Line[]> {
  const { system } = stage;
  const kept = Array.from({ length: SESSIONS }, () => tallyInSession(stage, pauseMs));
  const calls = (progress: readonly Tally[]) => Math.min(...progress.map(({ progress: { calls: made } }) => made));
  await until(() => calls(kept) >= CALLS / 4);
  const more = [await system.startRunner(), await system.startRunner()];
  // Whoever begins now may be anywhere, and moves when its runner ends.
  const late = Array.from({ length: SESSIONS }, () => tallyInSession(stage, pauseMs));
  await until(() => calls(kept) >= CALLS / 2);
  for (const runner of more) await runner.stop("SIGTERM");
  await Promise.all([...kept, ...late].map(({ done }) => done));

  const sum = (some: readonly Tally[], of: (progress: Progress) => number) =>
    some.reduce((total, { progress }) => total + of(progress), 0);
  const problems = [...kept, ...late].flatMap(({ progress }) => progress.problems);
  const wanted = SESSIONS * CALLS;
  return [
    must(
      "calls of sessions whose runner stayed",
      String(sum(kept, (each) => each.calls)),
      String(wanted),
      sum(kept, (each) => each.calls) === wanted,
    ),
    must(
      "times that their state was lost",
      String(sum(kept, (each) => each.lost)),
      "0",
      sum(kept, (each) => each.lost) === 0,
    ),
    must("times that they moved", String(sum(kept, (each) => each.moves)), "0", sum(kept, (each) => each.moves) === 0),
    must(
      "calls that failed",
      problems.length === 0 ? "0" : `${problems.length}: ${problems[0]!}`,
      "0",
      problems.length === 0,
    ),
    line("times that sessions begun with three runners moved", String(sum(late, (each) => each.moves))),
  ];
}

interface Tally {
  readonly progress: Progress;
  readonly done: Promise<void>;
}

function tallyInSession(stage: Stage, pauseMs: number): Tally {
  const progress: Progress = { calls: 0, moves: 0, lost: 0, problems: [] };
  const done = (async () => {
    const { call, end } = await openSession(stage, TENANT);
    let last: { tally: number; pid: number } | undefined;
    for (let n = 0; n < CALLS; n++) {
      const { ok, text } = await call("stateful__tally");
      progress.calls += 1;
      if (ok) {
        const now = JSON.parse(text) as { tally: number; pid: number };
        if (last !== undefined && now.pid !== last.pid) progress.moves += 1;
        if (now.tally !== (last?.tally ?? 0) + 1) progress.lost += 1;
        last = now;
      } else progress.problems.push(text);
      await pause(pauseMs);
    }
    await end();
  })();
  return { progress, done };
}

async function until(reached: () => boolean): Promise<void> {
  while (!reached()) await pause(50);
}
