import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const LAUNCHER = join(import.meta.dirname, "..", "..", "tollgate", "src", "main.ts");
const START_TIMEOUT_MS = 120_000;

export interface MeasuredSystem {
  readonly mcpUrl: string;
  readonly gatewayUrl: string;
  readonly token: string;
  readonly adminToken: string;
  /** Process ids of all services, NATS and PostgreSQL, by name. */
  readonly pids: Readonly<Record<string, number>>;
  stop(): Promise<void>;
}

/** Starts everything as a user does, with an empty state of its own, or takes the one whose state is in `stateDir`. */
export async function startSystem(stateDir: string | undefined): Promise<MeasuredSystem> {
  const state = stateDir ?? (await mkdtemp(join(tmpdir(), "tollgate-bench-")));
  const launcher = (...words: string[]) =>
    promisify(execFile)(process.execPath, [LAUNCHER, ...words, "--state", state], { timeout: START_TIMEOUT_MS });
  if (stateDir === undefined) await launcher("up", "--detach", "--port", "0");
  const connect = JSON.parse(await readFile(join(state, "connect.json"), "utf8")) as Omit<
    MeasuredSystem,
    "pids" | "stop"
  >;
  const run = JSON.parse(await readFile(join(state, "run.json"), "utf8")) as {
    processes: Record<string, { pid: number }>;
  };
  return {
    ...connect,
    pids: Object.fromEntries(Object.entries(run.processes).map(([name, { pid }]) => [name, pid])),
    stop: async () => {
      if (stateDir !== undefined) return;
      await launcher("stop");
      await rm(state, { recursive: true, force: true });
    },
  };
}
