import { readFileSync, rmSync } from "node:fs";
import { z } from "zod";
import { isRunning, type ProcessRef, refOf } from "./process-identity.ts";
import { type StateDir, writePrivateFile } from "./state-dir.ts";

const ref = z.object({ pid: z.number().int().min(2), startedAt: z.string().min(1) });
const schema = z.object({
  launcher: ref,
  /** Of the gateway; absent until everything is ready. */
  url: z.string().optional(),
  /** All that the launcher has started, by name. */
  processes: z.record(z.string(), ref),
  ports: z.record(z.string(), z.number()),
});
export type Run = z.infer<typeof schema>;

/** What runs now, on disk: for `stop`, and so that a start after a killed launcher finds what it has left. */
export interface RunFile {
  started(name: string, pid: number): void;
  ready(url: string): void;
  remove(): void;
}

/** The last run that was written down and not ended in order, whether or not it still lives. */
export function readRun(state: StateDir): Run | undefined {
  try {
    return schema.parse(JSON.parse(readFileSync(state.runFile, "utf8")));
  } catch {
    return undefined;
  }
}

/** The run whose launcher is alive. */
export function liveRun(state: StateDir): Run | undefined {
  const run = readRun(state);
  return run && isRunning(run.launcher) ? run : undefined;
}

export function openRunFile(state: StateDir, ports: Readonly<Record<string, number>>): RunFile {
  const processes: Record<string, ProcessRef> = {};
  const launcher = refOf(process.pid);
  let run: Run = { launcher, processes, ports };
  const write = () => writePrivateFile(state.runFile, `${JSON.stringify(run, null, 2)}\n`);
  write();
  return {
    started(name, pid) {
      processes[name] = refOf(pid);
      write();
    },
    ready(url) {
      run = { ...run, url };
      write();
    },
    remove: () => rmSync(state.runFile, { force: true }),
  };
}
