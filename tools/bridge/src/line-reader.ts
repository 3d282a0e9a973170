const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** The longest line that is read; a longer one is skipped to its end, so that memory stays bounded. */
export const lineBytesMax = 16 * 1024 * 1024;

/** One line without its end, or word that one was too long and is being skipped. Blank lines are left out. */
export type Line = { readonly tooLong: false; readonly bytes: Buffer } | { readonly tooLong: true };

/** Splits a stream into lines. A last line without a newline counts. */
export async function* readLines(source: AsyncIterable<Buffer>, bytesMax = lineBytesMax): AsyncGenerator<Line> {
  let parts: Buffer[] = [];
  let held = 0;
  let skipping = false;
  for await (const chunk of source) {
    let from = 0;
    while (from < chunk.length) {
      const newline = chunk.indexOf(NEWLINE, from);
      const part = chunk.subarray(from, newline === -1 ? chunk.length : newline);
      from += part.length + 1;
      if (!skipping && held + part.length > bytesMax) {
        yield { tooLong: true };
        skipping = true;
        parts = [];
      }
      if (!skipping) {
        parts.push(part);
        held += part.length;
      }
      if (newline === -1) break;
      if (!skipping) yield* lineOf(parts);
      parts = [];
      held = 0;
      skipping = false;
    }
  }
  if (!skipping) yield* lineOf(parts);
}

function* lineOf(parts: Buffer[]): Generator<Line> {
  const joined = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
  const bytes = joined.at(-1) === CARRIAGE_RETURN ? joined.subarray(0, -1) : joined;
  if (bytes.some((byte) => byte !== 0x20 && byte !== 0x09)) yield { tooLong: false, bytes };
}
