import { closeSync, openSync, readSync } from "node:fs";
import { join } from "node:path";

const FILE_MAX_BYTES = 4_096;
const US_PER_MS = 1_000;
/** The kernel counts in hundredths of a second wherever it shows times to programs (proc(5), USER_HZ). */
const MS_PER_TICK = 10;
/** Of /proc/<pid>/stat after the name: utime, stime, and those of children that have ended. */
const TIME_FIELDS = { first: 11, last: 14 };

const SPACE = 0x20;
const ZERO = 0x30;
const NINE = 0x39;
const CLOSING_BRACKET = 0x29;

/**
 * How much time of the processors something has used so far. It is asked at the beginning and at the end of each call:
 * so the file stays open, and nothing is made of it but a number.
 */
export interface CpuClock {
  /** Undefined when what it measures has gone. */
  readMs(): number | undefined;
  close(): void;
}

/** A process, with its children that have ended. */
export const processClock = (pid: number): CpuClock => openClock(`/proc/${pid}/stat`, readStat);

/** All that is in a cgroup, or was. */
export const cgroupClock = (dir: string): CpuClock => openClock(join(dir, "cpu.stat"), readCpuStat);

/** One at a time is read, and nothing of it is kept. */
const buffer = Buffer.alloc(FILE_MAX_BYTES);

function openClock(path: string, read: (length: number) => number): CpuClock {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
  } catch {
    file = undefined;
  }
  return {
    readMs() {
      if (file === undefined) return undefined;
      try {
        const length = readSync(file, buffer, 0, FILE_MAX_BYTES, 0);
        return length === 0 ? undefined : read(length);
      } catch {
        return undefined;
      }
    },
    close() {
      if (file !== undefined) closeSync(file);
      file = undefined;
    },
  };
}

function readStat(length: number): number {
  // The name stands in brackets and may hold anything, brackets too.
  let at = buffer.subarray(0, length).lastIndexOf(CLOSING_BRACKET) + 2;
  let ticks = 0;
  for (let field = 0; field <= TIME_FIELDS.last; field += 1) {
    if (field >= TIME_FIELDS.first) ticks += numberAt(at, length);
    at = buffer.indexOf(SPACE, at) + 1;
  }
  return ticks * MS_PER_TICK;
}

function readCpuStat(length: number): number {
  const at = buffer.subarray(0, length).indexOf("usage_usec ");
  return at < 0 ? 0 : numberAt(at + "usage_usec ".length, length) / US_PER_MS;
}

function numberAt(start: number, length: number): number {
  let value = 0;
  for (let at = start; at < length; at += 1) {
    const digit = buffer[at]!;
    if (digit < ZERO || digit > NINE) break;
    value = value * 10 + digit - ZERO;
  }
  return value;
}
