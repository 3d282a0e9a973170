import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import type { Contained } from "../containment/held-process.ts";

const STDERR_TAIL_MAX_CHARS = 4_000;
const STDERR_LINE_MAX_CHARS = 2_000;
const NEWLINE = 0x0a;
/** What may wait for a process that does not read. */
const INPUT_WAITING_MAX_BYTES = 16 * 1024 * 1024;
const SIGNAL_CODES = 128;
/** How long a process group has after the end of its standard input, and again after SIGTERM. */
const STDIN_GRACE_MS = 1_000;
const TERM_GRACE_MS = 2_000;
/** How long the output of a process that has ended may stay open, held by one that it has started and let go. */
const OUTPUT_GRACE_MS = 1_000;

export interface StdioProcess {
  readonly pid: number;
  /** Writes one line; lines written in the same tick go out together. False when too much waits to be read already. */
  write(line: string): boolean;
  /** The last lines of standard error. */
  stderrTail(): string;
  /** Ends the whole process group: closes its input, then SIGTERM, then SIGKILL. */
  end(): Promise<void>;
}

export interface StdioProcessOptions {
  readonly contained: Contained;
  readonly lineMaxBytes: number;
  /** Gives why the process is to be ended because of it, if it is. */
  readonly onLine: (line: string) => string | undefined;
  readonly onStderr: (line: string) => void;
  /** Once, after the last line: why it ended. */
  readonly onExit: (reason: string) => void;
}

/** Starts a server in a process group of its own, so that what it starts ends with it. */
export function startProcess(options: StdioProcessOptions): StdioProcess {
  const { contained, lineMaxBytes } = options;
  const { command, args, env, cwd } = contained.start;
  const child = spawn(command, args, { env, cwd, stdio: ["pipe", "pipe", "pipe"], detached: true });
  const pid = child.pid ?? 0;
  /** Why it was killed. */
  let killedFor: string | undefined;
  if (pid !== 0) contained.watch(pid, (reason) => (killedFor ??= reason));
  const tail = readStderr(child, options.onStderr);
  readLines(child, lineMaxBytes, {
    onLine: options.onLine,
    onExcess(reason) {
      killedFor ??= reason;
      contained.kill();
    },
  });

  const exited = new Promise<void>((resolve) => {
    let released: Promise<void> | undefined;
    let outputGrace: NodeJS.Timeout | undefined;
    const finish = async (how: string) => {
      await (released ??= contained.release());
      options.onExit(killedFor ?? contained.reasonFor(how, tail()));
      resolve();
    };
    child.once("error", (error) => {
      if (pid === 0) void finish(startFailure(error, contained));
    });
    child.once("exit", () => {
      // Whatever it has started and not ended itself goes with it, and with that the ends of its output.
      released = contained.release();
      outputGrace = setTimeout(() => (child.stdout?.destroy(), child.stderr?.destroy()), OUTPUT_GRACE_MS);
    });
    child.once("close", (code, signal) => {
      clearTimeout(outputGrace);
      if (pid !== 0) void finish(howItEnded(code, signal));
    });
  });
  // A server may close its input and live on; that shows in its silence, not here.
  child.stdin?.on("error", () => undefined);

  let corked = false;
  return {
    pid,
    write(line) {
      const { stdin } = child;
      if (!stdin?.writable) return true;
      if (stdin.writableLength > INPUT_WAITING_MAX_BYTES) return false;
      if (!corked) {
        corked = true;
        stdin.cork();
        process.nextTick(() => {
          corked = false;
          stdin.uncork();
        });
      }
      stdin.write(`${line}\n`);
      return true;
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

function startFailure(error: NodeJS.ErrnoException, { original: { command, cwd } }: Contained): string {
  if (error.code !== "ENOENT") return `could not be started: ${error.message}`;
  return existsSync(cwd) ? `the command ${command} was not found` : `the working directory ${cwd} is not there`;
}

/** Shells and sandboxes say in their own code by which signal what they had started was ended. */
function howItEnded(code: number | null, signal: NodeJS.Signals | null): string {
  if (code === null) return `was ended by ${signal}`;
  const [name] = Object.entries(constants.signals).find(([, number]) => number === code - SIGNAL_CODES) ?? [];
  return name === undefined ? `exited with code ${code}` : `exited with code ${code} (${name})`;
}

interface LineEvents {
  readonly onLine: (line: string) => string | undefined;
  /** Nothing of it is read any more. */
  readonly onExcess: (reason: string) => void;
}

function readLines(child: ChildProcess, lineMaxBytes: number, { onLine, onExcess }: LineEvents): void {
  let rest: Buffer[] = [];
  let restBytes = 0;

  function stop(reason: string): void {
    child.stdout?.off("data", read).resume();
    rest = [];
    onExcess(reason);
  }

  function read(chunk: Buffer): void {
    const end = chunk.lastIndexOf(NEWLINE);
    if (end < 0) {
      rest.push(chunk);
      restBytes += chunk.length;
    } else {
      const whole = chunk.subarray(0, end);
      const text = rest.length === 0 ? whole.toString("utf8") : Buffer.concat([...rest, whole]).toString("utf8");
      rest = end + 1 < chunk.length ? [chunk.subarray(end + 1)] : [];
      restBytes = chunk.length - end - 1;
      for (const line of text.split("\n")) {
        const reason = line.trim() === "" ? undefined : onLine(line);
        if (reason !== undefined) return stop(reason);
      }
    }
    if (restBytes > lineMaxBytes) stop(`wrote a line longer than ${lineMaxBytes} bytes (limits.output_mb)`);
  }

  child.stdout?.on("data", read);
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
