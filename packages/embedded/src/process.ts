import { type ChildProcess, spawn } from "node:child_process";
import { open, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { EmbeddedError } from "./embedded-error.ts";
import { type LogFile, logTail } from "./log-file.ts";

const pollMs = 25;
const killedWithinMs = 2_000;
const outputBytesMax = 64 * 1024;

/**
 * Servers get this and nothing else: the launcher's environment may hold secrets, and PG* variables would change what
 * PostgreSQL does.
 */
const serverEnvironment = {
  PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
  LC_ALL: "C",
} as const;

/** A server that was started and answers. */
export interface Running {
  readonly pid: number;
  readonly port: number;
  /** Ends the server in its own way, then by force; resolves when the process is gone. Safe to call again. */
  stop(): Promise<void>;
  /** Exit code, or null when a signal ended it. Resolves when the process ends, whoever ended it. */
  readonly exited: Promise<number | null>;
}

/** What to execute: `uid` and `gid` are set only where root gives its rights away. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly uid?: number;
  readonly gid?: number;
}

export interface Child {
  readonly pid: number;
  readonly exited: Promise<number | null>;
  hasExited(): boolean;
}

/** A signal and how long its effect is awaited before the next one. */
export interface StopStep {
  readonly signal: NodeJS.Signals;
  readonly waitMs: number;
}

function identity(command: Command): { uid?: number; gid?: number } {
  return command.uid === undefined || command.gid === undefined ? {} : { uid: command.uid, gid: command.gid };
}

/** Resolves with the pid once the program is really executing; spawn reports ENOENT and EACCES only by an event. */
function spawned(child: ChildProcess, file: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", (cause) =>
      reject(new EmbeddedError("unavailable", `cannot run ${file}: ${cause.message}`, { cause })),
    );
    child.once("spawn", () => resolve(child.pid ?? 0));
  });
}

function whenExited(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once("exit", (code) => resolve(code)));
}

/**
 * Starts a server in a process group of its own, so that Ctrl-C in the terminal reaches the launcher alone, which then
 * stops everything in order. Output is appended to the log, whose descriptor works whatever the server's user may open.
 */
export async function startServer(command: Command, log: LogFile): Promise<Child> {
  const output = await open(log.path, "a", 0o600);
  try {
    const child = spawn(command.file, [...command.args], {
      cwd: "/",
      detached: true,
      env: serverEnvironment,
      stdio: ["ignore", output.fd, output.fd],
      ...identity(command),
    });
    const exited = whenExited(child);
    const pid = await spawned(child, command.file);
    return { pid, exited, hasExited: () => child.exitCode !== null || child.signalCode !== null };
  } finally {
    await output.close();
  }
}

/** Sends each step's signal in turn until the server is gone. */
export async function stopServer(child: Child, steps: readonly StopStep[]): Promise<void> {
  for (const step of steps) {
    if (child.hasExited()) return;
    send(child.pid, step.signal);
    await Promise.race([child.exited, delay(step.waitMs, undefined, { ref: false })]);
  }
  if (!child.hasExited())
    throw new EmbeddedError("deadline_exceeded", `process ${child.pid} did not end; end it by hand`);
}

/** Polls `probe` until it gives a value. When the server ends, the time is over or `signal` aborts, nothing is left running. */
export async function untilReady<T>(options: {
  readonly name: string;
  readonly child: Child;
  readonly log: LogFile;
  readonly timeoutMs: number;
  readonly stop: readonly StopStep[];
  readonly signal: AbortSignal | undefined;
  readonly probe: () => Promise<T | undefined>;
}): Promise<T> {
  const { name, child, log, signal } = options;
  const deadline = Date.now() + options.timeoutMs;
  try {
    while (Date.now() < deadline) {
      throwIfCancelled(signal, name);
      const found = await options.probe();
      if (found !== undefined) return found;
      if (child.hasExited()) {
        const code = await child.exited;
        throw await startError("unavailable", `${name} ended while it started (code ${code ?? "none"})`, log);
      }
      await delay(pollMs);
    }
    throw await startError("deadline_exceeded", `${name} was not ready within ${options.timeoutMs / 1000} s`, log);
  } catch (error) {
    await stopServer(child, options.stop);
    throw error;
  }
}

async function startError(
  code: "unavailable" | "deadline_exceeded",
  what: string,
  log: LogFile,
): Promise<EmbeddedError> {
  const tail = await logTail(log);
  const quoted = tail === "" ? "its log is empty" : `the end of its log:\n${tail}`;
  return new EmbeddedError(code, `${what}; ${quoted}`, { details: { logFile: log.path, tail } });
}

export function throwIfCancelled(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted)
    throw new EmbeddedError("cancelled", `${what}: cancelled before it was done`, {
      cause: signal.reason,
    });
}

/**
 * Runs a short-lived program to its end. Never rejects for what the program says; rejects when it cannot be executed, is
 * cancelled, or takes longer than `timeoutMs` (its whole process group is ended then). `output` is both streams' beginning.
 */
export async function runToEnd(
  command: Command,
  options: {
    readonly timeoutMs: number;
    readonly signal?: AbortSignal | undefined;
    readonly cwd?: string;
    /** `true` passes this process's environment on: for programs of the machine that need its proxy settings. */
    readonly inheritEnvironment?: boolean;
  },
): Promise<{ readonly code: number | null; readonly output: string }> {
  throwIfCancelled(options.signal, command.file);
  const child = spawn(command.file, [...command.args], {
    cwd: options.cwd ?? "/",
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.inheritEnvironment === true ? {} : { env: serverEnvironment }),
    ...identity(command),
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      if (output.length < outputBytesMax) output += chunk;
    });
  const closed = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  const pid = await spawned(child, command.file);
  const timeout = AbortSignal.timeout(options.timeoutMs);
  const stop = options.signal ? AbortSignal.any([timeout, options.signal]) : timeout;
  const onStop = (): void => void endProcessGroup(pid, killedWithinMs);
  stop.addEventListener("abort", onStop);
  const code = await closed;
  stop.removeEventListener("abort", onStop);
  throwIfCancelled(options.signal, command.file);
  if (stop.aborted)
    throw new EmbeddedError("deadline_exceeded", `${command.file} took longer than ${options.timeoutMs / 1000} s`);
  return { code, output };
}

/** Sends a signal (0 only asks); negative pids are groups. False when there is nobody who could receive it. */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    // ESRCH: gone. EPERM: not ours, or on macOS a group of which only a zombie is left.
    return false;
  }
}

export function isAlive(pid: number): boolean {
  return send(pid, 0);
}

/** True once nobody of `pid` (a group when negative) is left; false when `timeoutMs` was not enough. */
async function untilGone(pid: number, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (send(pid, 0)) {
    if (Date.now() >= deadline) return false;
    await delay(pollMs);
  }
  return true;
}

/** Ends a process that is not a child of this one; each step's signal in turn. */
export async function endProcess(pid: number, steps: readonly StopStep[]): Promise<boolean> {
  for (const step of steps) {
    if (!send(pid, step.signal) || (await untilGone(pid, step.waitMs))) return true;
  }
  return false;
}

/**
 * Ends every process of the group that `pid` leads, grandchildren included: SIGTERM, and SIGKILL after `graceMs`.
 * False when some were still there two seconds after SIGKILL.
 */
export function endProcessGroup(pid: number, graceMs: number): Promise<boolean> {
  return endProcess(-pid, [
    { signal: "SIGTERM", waitMs: graceMs },
    { signal: "SIGKILL", waitMs: killedWithinMs },
  ]);
}

/** The command line of a living process; undefined when there is none, it is a zombie, or it may not be seen. */
export async function commandLine(pid: number): Promise<string | undefined> {
  if (!isAlive(pid)) return undefined;
  const procfs = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => undefined);
  if (procfs !== undefined) return procfs.replaceAll("\0", " ").trim() || undefined;
  const ps = await runToEnd(
    { file: "ps", args: ["-ww", "-o", "command=", "-p", String(pid)] },
    { timeoutMs: 5_000 },
  ).catch(() => undefined);
  return ps?.code === 0 ? ps.output.trim() || undefined : undefined;
}
