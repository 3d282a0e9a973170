/** One message carries many frames: for each a line of our own JSON and a line with the frame as it came. */
export interface Framed<E> {
  readonly envelope: E;
  /** One JSON text without line breaks; see `singleLine`. */
  readonly frame: string;
}

const LINE_BREAKS = /[\r\n]+/g;

/**
 * A JSON text on one line. Inside JSON strings line breaks are always escaped, so those in the text are white space
 * between tokens and may become blanks without changing any value.
 */
export function singleLine(json: string): string {
  return json.includes("\n") || json.includes("\r") ? json.replace(LINE_BREAKS, " ") : json;
}

export function encodeFrames<E extends object>(frames: readonly Framed<E>[]): string {
  let text = "";
  for (const { envelope, frame } of frames) text += `${JSON.stringify(envelope)}\n${singleLine(frame)}\n`;
  return text;
}

/** @throws {Error} when the text is not of that form: at least one frame, and an object for each envelope */
export function decodeFrames<E extends object>(text: string): Framed<E>[] {
  if (text === "") throw new Error("a message without frames");
  const frames: Framed<E>[] = [];
  for (let at = 0; at < text.length;) {
    const middle = text.indexOf("\n", at);
    const end = middle < 0 ? -1 : text.indexOf("\n", middle + 1);
    if (end < 0) throw new Error("a message that ends within a frame");
    const envelope = JSON.parse(text.slice(at, middle)) as E | null;
    if (typeof envelope !== "object" || envelope === null || Array.isArray(envelope))
      throw new Error("an envelope that is not an object");
    frames.push({ envelope, frame: text.slice(middle + 1, end) });
    at = end + 1;
  }
  return frames;
}
