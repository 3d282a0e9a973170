import { createHash } from "node:crypto";

const MARK_CHARS = 16;
const CHARACTER_MAX_BYTES = 4;

/**
 * A text as a database can hold and index it, whatever a client has sent: PostgreSQL takes no NUL and no half of a
 * character, and its indexes take no long texts. What is too long is cut and marked with its hash, so that two texts stay
 * two. Whoever looks for a text lets it go the same way.
 */
export function storedText(given: string, bytesMax: number): string {
  const text =
    given.includes("\0") || !given.isWellFormed() ? given.replaceAll("\0", "\u{fffd}").toWellFormed() : given;
  // No UTF-16 unit is longer than three bytes.
  if (text.length * 3 <= bytesMax || Buffer.byteLength(text) <= bytesMax) return text;
  const kept = Math.floor((bytesMax - MARK_CHARS - 1) / CHARACTER_MAX_BYTES);
  const beginning = Array.from(text.slice(0, kept * 2)).slice(0, kept);
  return `${beginning.join("")}~${createHash("sha256").update(text).digest("hex").slice(0, MARK_CHARS)}`;
}
