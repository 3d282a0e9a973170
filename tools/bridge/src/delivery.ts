import type { Frame } from "./frame.ts";
import { rawMembers } from "./raw-json.ts";
import { isObject } from "./rpc-error.ts";

/** One message that came from the gateway. */
export interface Incoming {
  /** Its text, as it came but without line breaks. */
  readonly line: string;
  readonly message: Readonly<Record<string, unknown>>;
  /** The request that it answers. */
  readonly request?: Frame;
  /** The session that the answer's response named. */
  readonly sessionId?: string;
}

/** Takes a message and returns the line that the client gets for it, if any. Nothing may come between it and the write. */
export type Take = (incoming: Incoming) => string | undefined;

/** Where messages go. */
export interface Delivery {
  readonly take: Take;
  /** Resolves when the client has room for more. */
  readonly write: (line: string) => Promise<void>;
}

/** Passes on what one body, event or WebSocket message holds: a message, or a batch of them, which stays one line. */
export async function passOn(text: string, delivery: Delivery): Promise<void> {
  // Raw newlines are blanks in JSON (inside strings they are escaped), but on stdio they would end the frame.
  const line = text.replaceAll(/[\r\n]/g, " ");
  const message = parse(text);
  if (isObject(message)) {
    const kept = delivery.take({ line, message });
    return kept === undefined ? undefined : delivery.write(kept);
  }
  if (!Array.isArray(message)) return;
  const parts = rawMembers(line).map(({ value }) => value);
  const kept = message.map((part: unknown, index) =>
    isObject(part) ? delivery.take({ line: parts[index] ?? "", message: part }) : undefined,
  );
  const lines = kept.filter((each) => each !== undefined);
  const isWhole = lines.length === parts.length && lines.every((each, index) => each === parts[index]);
  if (lines.length > 0) await delivery.write(isWhole ? line : `[${lines.join(",")}]`);
}

export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
