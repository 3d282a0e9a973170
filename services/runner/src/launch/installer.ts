import { spawn } from "node:child_process";
import { AppError } from "@tollgate/errors";

/** For pip and uv too, which may have to compile what they install. */
const INSTALL_TIMEOUT_MS = 300_000;
const OUTPUT_TAIL_MAX_CHARS = 64 * 1024;
const REASON_LINES_MAX = 6;
const REASON_MAX_CHARS = 400;

interface InstallerOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly signal: AbortSignal;
  /** Finds in standard error what went wrong, as its first group. Without it, the last lines are taken. */
  readonly reason?: RegExp;
}

/**
 * Runs a program that ends by itself, and gives what it wrote to standard output (the end of it). It is its own process
 * group, so that nothing that it has started stays when it is stopped.
 * @throws {AppError} `unavailable`: `what`, and its own words
 */
export async function runInstaller(
  what: string,
  command: readonly [string, ...string[]],
  options: InstallerOptions,
): Promise<string> {
  const { env, cwd, signal } = options;
  const failure = (reason: string) => new AppError("unavailable", `${what}: ${reason}`);
  if (signal.aborted) throw failure("the runner stops");
  const [program, ...args] = command;
  const child = spawn(program, args, { env, cwd, stdio: ["ignore", "pipe", "pipe"], detached: true });
  const stdout = keepTail(child.stdout);
  const stderr = keepTail(child.stderr);

  let stopped: string | undefined;
  const stop = (reason: string): void => {
    stopped ??= reason;
    if (child.pid !== undefined) killGroup(child.pid);
  };
  const onAbort = () => stop("the runner stops");
  signal.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(() => stop(`it was not done within ${INSTALL_TIMEOUT_MS / 1_000} s`), INSTALL_TIMEOUT_MS);
  try {
    const problem = await new Promise<string | undefined>((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("close", (code, by) => resolve(code === 0 ? undefined : `it ended with ${by ?? `code ${code}`}`));
    });
    const reason = stopped ?? problem;
    if (reason === undefined) return stdout();
    throw failure(stopped ?? (reasonIn(stderr(), options.reason) || reason));
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

function keepTail(stream: NodeJS.ReadableStream): () => string {
  let tail = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    tail = (tail + text).slice(-OUTPUT_TAIL_MAX_CHARS);
  });
  return () => tail;
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function reasonIn(stderr: string, pattern: RegExp | undefined): string {
  const lines = stderr.split("\n").map((line) => line.trim());
  const said = pattern === undefined ? [] : lines.flatMap((line) => pattern.exec(line)?.[1] ?? []);
  const chosen = said.length > 0 ? said.slice(0, REASON_LINES_MAX) : lines.filter(Boolean).slice(-REASON_LINES_MAX);
  return chosen.join("; ").slice(0, REASON_MAX_CHARS);
}
