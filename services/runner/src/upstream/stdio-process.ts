import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import type { Contained } from "../containment/containment.ts";

const STDERR_TAIL_MAX_CHARS = 4_000;
const STDERR_LINE_MAX_CHARS = 2_000;
const NEWLINE = 0x0a;
/** How long a process group has after the end of its standard input, and again after SIGTERM. */
const STDIN_GRACE_MS = 1_000;
const TERM_GRACE_MS = 2_000;
/** How long the output of a process that has ended may stay open, held by one that it has started and let go. */
const OUTPUT_GRACE_MS = 1_000;

export interface StdioProcess {
  readonly pid: number;
  /** Writes one line; lines written in the same tick go out together. */
  write(line: string): void;
  /** The last lines of standard error. */
  stderrTail(): string;
  /** Ends the whole process group: closes its input, then SIGTERM, then SIGKILL. */
  end(): Promise<void>;
}

export interface StdioProcessOptions {
  readonly contained: Contained;
  readonly lineMaxBytes: number;
  readonly onLine: (line: string) => void;
  readonly onStderr: (line: string) => void;
  /** Once, after the last line: why it ended. */
  readonly onExit: (reason: string) => void;
}

/** Starts a server in a process group of its own, so that what it starts ends with it. */
export function startProcess(options: StdioProcessOptions): StdioProcess {
  const { contained } = options;
  const { command, args, env, cwd } = contained;
  const child = spawn(command, args, { env, cwd, stdio: ["pipe", "pipe", "pipe"], detached: true });
  const pid = child.pid ?? 0;
  /** Why it was killed. */
  let killedFor: string | undefined;
  if (pid !== 0) contained.watch(pid, (reason) => (killedFor ??= reason));
  const tail = readStderr(child, options.onStderr);
  readLines(child, options, () => {
    killedFor ??= `wrote a line longer than ${options.lineMaxBytes} bytes`;
    contained.kill();
  });

  const exited = new Promise<void>((resolve) => {
    let released: Promise<string | undefined> = Promise.resolve(undefined);
    const finish = (reason: string) => {
      options.onExit(reason);
      resolve();
    };
    child.once("error", (error) => {
      if (pid === 0) finish(startFailure(error, command, cwd));
    });
    child.once("exit", () => {
      // Whatever it has started and not ended itself goes with it, and with that the ends of its output.
      released = contained.release();
      outputGrace = setTimeout(() => (child.stdout?.destroy(), child.stderr?.destroy()), OUTPUT_GRACE_MS);
    });
    let outputGrace: NodeJS.Timeout | undefined;
    child.once("close", (code, signal) => {
      clearTimeout(outputGrace);
      if (pid === 0) return;
      const how = signal === null ? `exited with code ${code}` : `was ended by ${signal}`;
      void released.then((limit) => finish(killedFor ?? limit ?? how));
    });
  });
  // A server may close its input and live on; that shows in its silence, not here.
  child.stdin?.on("error", () => undefined);

  let corked = false;
  return {
    pid,
    write(line) {
      const { stdin } = child;
      if (!stdin?.writable) return;
      if (!corked) {
        corked = true;
        stdin.cork();
        process.nextTick(() => {
          corked = false;
          stdin.uncork();
        });
      }
      stdin.write(`${line}\n`);
    },
    stderrTail: tail,
    async end() {
      child.stdin?.end();
      if (await settlesWithin(exited, STDIN_GRACE_MS)) return;
      contained.terminate();
      if (await settlesWithin(exited, TERM_GRACE_MS)) return;
      contained.kill();
      await exited;
    },
  };
}

function startFailure(error: NodeJS.ErrnoException, command: string, cwd: string): string {
  if (error.code !== "ENOENT") return `could not be started: ${error.message}`;
  return existsSync(cwd) ? `the command ${command} was not found` : `the working directory ${cwd} is not there`;
}

function readLines(child: ChildProcess, options: StdioProcessOptions, onOverlong: () => void): void {
  let rest: Buffer[] = [];
  let restBytes = 0;
  child.stdout?.on("data", (chunk: Buffer) => {
    const end = chunk.lastIndexOf(NEWLINE);
    if (end < 0) {
      rest.push(chunk);
      restBytes += chunk.length;
    } else {
      const whole = chunk.subarray(0, end);
      const text = rest.length === 0 ? whole.toString("utf8") : Buffer.concat([...rest, whole]).toString("utf8");
      rest = end + 1 < chunk.length ? [chunk.subarray(end + 1)] : [];
      restBytes = chunk.length - end - 1;
      for (const line of text.split("\n")) if (line.trim() !== "") options.onLine(line);
    }
    if (restBytes > options.lineMaxBytes) {
      rest = [];
      restBytes = 0;
      onOverlong();
    }
  });
}

function readStderr(child: ChildProcess, onStderr: (line: string) => void): () => string {
  let tail = "";
  let rest = "";
  child.stderr?.setEncoding("utf8");
  child.stderr?.on("data", (text: string) => {
    tail = (tail + text).slice(-STDERR_TAIL_MAX_CHARS);
    const lines = (rest + text).split("\n");
    rest = lines.pop()!.slice(-STDERR_LINE_MAX_CHARS);
    for (const line of lines) if (line.trim() !== "") onStderr(line.slice(0, STDERR_LINE_MAX_CHARS));
  });
  return () => tail.trim();
}

async function settlesWithin(promise: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const settled = await Promise.race([promise.then(() => true), late]);
  clearTimeout(timer);
  return settled;
}
