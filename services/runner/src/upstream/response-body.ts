import type { IncomingMessage } from "node:http";
import { createParser, ParseError } from "eventsource-parser";

export interface StreamEvents {
  /** An event's id, also of one without data: where the stream can be taken up again. */
  readonly onId?: (id: string) => void;
  readonly onRetry?: (ms: number) => void;
  readonly onEvent: (name: string, data: string) => void;
  /** No more is read; the stream stays open. */
  readonly onTooLarge: () => void;
  readonly onEnd: () => void;
}

/** Reads Server-Sent Events. Of an event that the stream's end cuts off nothing is reported. */
export function readEvents(response: IncomingMessage, dataMaxBytes: number, events: StreamEvents): void {
  let tooLarge = false;
  const refuse = () => {
    if (tooLarge) return;
    tooLarge = true;
    response.removeAllListeners("data");
    response.pause();
    events.onTooLarge();
  };
  const parser = createParser({
    maxBufferSize: dataMaxBytes,
    onId: (id) => tooLarge || events.onId?.(id),
    onRetry: (ms) => events.onRetry?.(ms),
    onEvent: ({ event, data }) => {
      if (tooLarge) return;
      if (isLonger(data, dataMaxBytes)) refuse();
      else events.onEvent(event ?? "message", data);
    },
    onError: (error) => {
      if (error instanceof ParseError && error.type === "max-buffer-size-exceeded") refuse();
    },
  });
  response.setEncoding("utf8");
  response.on("data", (text: string) => parser.feed(text));
  response.on("end", events.onEnd);
}

/** Reads a whole body, or undefined where it is longer than allowed; then no more of it is read. */
export function readBody(
  response: IncomingMessage,
  maxBytes: number,
  onBody: (body: string | undefined) => void,
): void {
  readBytes(response, maxBytes, (body) => onBody(body?.toString("utf8")));
}

export function readBytes(
  response: IncomingMessage,
  maxBytes: number,
  onBody: (body: Buffer | undefined) => void,
): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  response.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= maxBytes) return void chunks.push(chunk);
    response.removeAllListeners("data").removeAllListeners("end");
    response.pause();
    onBody(undefined);
  });
  response.on("end", () => onBody(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
}

/** Most texts are far from the bound, and their bytes need no counting. */
function isLonger(text: string, maxBytes: number): boolean {
  return text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes;
}
