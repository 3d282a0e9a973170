import type { Heard } from "./transport.ts";

const WINDOW_MS = 10_000;
const GARBAGE_MAX = 100;
/** Of them, those that are worth a line in the log. */
const GARBAGE_LOGGED_MAX = 5;
const SHOWN_MAX_CHARS = 80;

export interface OutputGuard {
  /** One line of the server, and what it was. Gives why the server is to be ended, if it is. */
  readonly note: (line: string, heard: Heard) => string | undefined;
}

/**
 * What a process writes that nobody has asked for is bounded: bytes that answer nothing, and lines that are no JSON-RPC.
 * Counted in windows that follow one another, so that it costs two additions for a line.
 */
export function createOutputGuard(options: {
  bytesMax: number;
  now: () => number;
  onGarbage: (line: string) => void;
}): OutputGuard {
  const { bytesMax, now, onGarbage } = options;
  let since = now();
  let bytes = 0;
  let garbage = 0;
  return {
    note(line, heard) {
      if (heard === "answer") return undefined;
      if (now() - since >= WINDOW_MS) {
        since = now();
        bytes = 0;
        garbage = 0;
      }
      // Characters for bytes: never more than there are, and nothing has to be counted anew.
      bytes += line.length + 1;
      if (bytes > bytesMax)
        return `wrote more than ${bytesMax} bytes that answer nothing within ${WINDOW_MS / 1_000} s (limits.output_mb)`;
      if (heard !== "garbage") return undefined;
      garbage += 1;
      if (garbage <= GARBAGE_LOGGED_MAX) onGarbage(printable(line));
      if (garbage <= GARBAGE_MAX) return undefined;
      return `wrote what is no JSON-RPC ${GARBAGE_MAX} times within ${WINDOW_MS / 1_000} s; the last: ${printable(line)}`;
    },
  };
}

/** The beginning of what may be anything, as it can be shown. */
function printable(line: string): string {
  return line.slice(0, SHOWN_MAX_CHARS).replaceAll(/[^\P{C}]/gu, "�");
}
