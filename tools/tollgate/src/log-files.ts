import { copyFileSync, existsSync, readFileSync, renameSync, statSync, truncateSync } from "node:fs";

const LOG_MAX_BYTES = 32 * 1024 * 1024;
const TRIM_INTERVAL_MS = 30_000;
const TAIL_MAX_BYTES = 64 * 1024;

/** Gives a start a log of its own; the one before is kept beside it. */
export function rotateLog(file: string): void {
  if (existsSync(file)) renameSync(file, `${file}.1`);
}

/**
 * Keeps logs bounded while their services run: one that has grown too large is moved to its `.1`. Copied and emptied,
 * since the service has it open for appending; a line written in between is lost.
 */
export function boundLogs(files: readonly string[]): { stop(): void } {
  const timer = setInterval(() => {
    for (const file of files) {
      if (!existsSync(file) || statSync(file).size <= LOG_MAX_BYTES) continue;
      copyFileSync(file, `${file}.1`);
      truncateSync(file);
    }
  }, TRIM_INTERVAL_MS);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}

/** The last lines of a service's log, told for a person at a terminal. */
export function logTail(file: string, linesMax: number): string[] {
  if (!existsSync(file)) return [];
  const text = readFileSync(file).subarray(-TAIL_MAX_BYTES).toString("utf8").trimEnd();
  return text === "" ? [] : text.split("\n").slice(-linesMax).map(plainLine);
}

/** The services write JSON lines; what they say before they have a log, or when they crash, is plain. */
function plainLine(line: string): string {
  try {
    const { msg, err, reason } = JSON.parse(line) as { msg?: string; err?: { message?: string }; reason?: string };
    return [msg, err?.message ?? reason].filter((each) => each !== undefined).join(": ");
  } catch {
    return line;
  }
}
