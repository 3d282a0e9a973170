import { appendFileSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LogOptions {
  readonly level: LogLevel;
  /** Absent: standard error. Standard output belongs to the protocol. */
  readonly file?: string;
  readonly bytesMax: number;
  /** How many older files are kept beside the current one. */
  readonly rotateCount: number;
  /** Blotted out wherever it would appear. */
  readonly secret: string;
}

export type Log = Readonly<Record<LogLevel, (message: string) => void>>;

/** `writeError` is standard error, and what is left when the file cannot be written. */
export function openLog(options: LogOptions, writeError: (line: string) => void): Log {
  const write = options.file === undefined ? writeError : fileWriter(options.file, options, writeError);
  const wanted = LOG_LEVELS.indexOf(options.level);
  const at = (level: LogLevel) => (message: string) => {
    if (LOG_LEVELS.indexOf(level) > wanted) return;
    const clean = options.secret === "" ? message : message.replaceAll(options.secret, "***");
    write(`${new Date().toISOString()} ${level} ${clean.replaceAll(/[\r\n]+/g, " ")}\n`);
  };
  return { error: at("error"), warn: at("warn"), info: at("info"), debug: at("debug") };
}

function fileWriter(file: string, limits: { bytesMax: number; rotateCount: number }, fallback: (line: string) => void) {
  return (line: string): void => {
    try {
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
      if (size > 0 && size + Buffer.byteLength(line) > limits.bytesMax) rotate(file, limits.rotateCount);
      appendFileSync(file, line, { mode: 0o600 });
    } catch (error) {
      fallback(
        `tollgate-bridge: cannot write the log ${file}: ${error instanceof Error ? error.message : String(error)}\n${line}`,
      );
    }
  };
}

/** file → file.1 → file.2 …; the one after the last is dropped. */
function rotate(file: string, rotateCount: number): void {
  if (rotateCount === 0) return rmSync(file, { force: true });
  for (let index = rotateCount - 1; index >= 1; index--) {
    if (statSync(`${file}.${index}`, { throwIfNoEntry: false })) renameSync(`${file}.${index}`, `${file}.${index + 1}`);
  }
  renameSync(file, `${file}.1`);
}
