import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { AppError } from "@tollgate/errors";
import { logTail } from "./log-files.ts";
import { signal } from "./process-identity.ts";
import type { Running } from "./supervisor.ts";

const READY_WITHIN_MS = 30_000;
const LINES_SHOWN_MAX = 15;

export interface ServiceProcessOptions {
  readonly name: string;
  readonly script: string;
  readonly cwd: string;
  /** The whole of it: nothing of the launcher's own is added. */
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
  /** After SIGTERM; then the process is killed. */
  readonly stopWithinMs: number;
  readonly onSpawn: (pid: number) => void;
  readonly signal: AbortSignal;
}

/**
 * Starts a service and waits until it says over its IPC channel that it is ready. It leads a process group of its own, so
 * that Ctrl-C reaches the launcher alone; when the launcher is gone the channel closes, and the service ends by itself.
 * @throws {AppError} `unavailable` with the end of its log
 */
export async function startServiceProcess(options: ServiceProcessOptions): Promise<Running> {
  const { name, logFile } = options;
  options.signal.throwIfAborted();
  const output = openSync(logFile, "a", 0o600);
  const child = spawn(process.execPath, [options.script], {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: ["ignore", output, output, "ipc"],
  });
  closeSync(output);
  const pid = child.pid ?? 0;
  const exited = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(`could not be executed: ${error.message}`));
    child.once("exit", (code, by) => {
      // What it has started in its group and not ended itself goes with it.
      signal(-pid, "SIGKILL");
      resolve(by === null ? `exited with code ${code}` : `was ended by ${by}`);
    });
  });
  if (pid !== 0) options.onSpawn(pid);
  const stop = async () => {
    if (pid === 0 || child.exitCode !== null || child.signalCode !== null) return;
    signal(pid, "SIGTERM");
    await raceWithin([exited], { timeoutMs: options.stopWithinMs, late: "", signal: undefined });
    if (child.exitCode === null && child.signalCode === null) signal(-pid, "SIGKILL");
    await exited;
  };
  const ready = new Promise<undefined>((resolve) => {
    child.on("message", (message) => (message as { ready?: boolean } | null)?.ready === true && resolve(undefined));
  });
  const problem = await raceWithin([ready, exited.then((how) => `${name} ${how} while it started`)], {
    timeoutMs: READY_WITHIN_MS,
    late: `${name} was not ready within ${READY_WITHIN_MS / 1_000} s`,
    signal: options.signal,
  });
  if (problem === undefined) return { pid, exited, stop };
  await stop();
  const lines = logTail(logFile, LINES_SHOWN_MAX).map((line) => `\n  | ${line}`);
  const said = lines.length === 0 ? "it logged nothing" : `the end of its log (${logFile}):${lines.join("")}`;
  throw new AppError("unavailable", `${problem}; ${said}`);
}

async function raceWithin<T>(
  promises: readonly Promise<T>[],
  options: { timeoutMs: number; late: string; signal: AbortSignal | undefined },
): Promise<T | string> {
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  const given = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(options.late), options.timeoutMs);
    onAbort = () => resolve("the start was cancelled");
    options.signal?.addEventListener("abort", onAbort);
  });
  try {
    return await Promise.race([...promises, given]);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", onAbort!);
  }
}
