import { once } from "node:events";
import type { FastifyReply } from "fastify";
import type { Outlet } from "./mcp-exchange.ts";

/** Of one stream, unread by its client; one frame more may be on top of it. */
const BUFFER_MAX_BYTES = 8 * 1024 * 1024;
/** A comment, so that nobody on the way takes a quiet stream for a dead one. */
const KEEP_ALIVE_MS = 15_000;

export interface EventStream extends Outlet {
  readonly closed: boolean;
  begin(): void;
  /** An event without a message: a client that has seen nothing else can resume from it. */
  prime(eventId: string, retryMs: number): void;
  /** An event that is no message. */
  event(name: string, data: string): void;
  /** Nobody's message: for whoever looks at the stream itself. One line. */
  comment(text: string): void;
  /** True when its client has read what was sent; false when it has not by then, or is gone. */
  drained(timeoutMs: number): Promise<boolean>;
  /** Called once, whoever ended it. */
  onClose(listener: () => void): void;
}

/** Makes a response an event stream, at once unless it is held until `begin` or its first event (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
export function openEventStream(reply: FastifyReply, { held = false } = {}): EventStream {
  const { raw } = reply.hijack();
  raw.writeHead(200, {
    "content-type": "text/event-stream",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
  });
  if (!held) raw.flushHeaders();
  const keepAlive = setInterval(() => raw.write(":\n\n"), KEEP_ALIVE_MS);
  raw.once("close", () => clearInterval(keepAlive));

  function write(text: string): void {
    if (raw.destroyed || raw.writableEnded) return;
    // Whoever does not read is cut off before it fills the memory.
    if (raw.writableLength > BUFFER_MAX_BYTES) return void raw.destroy();
    raw.write(text);
  }

  return {
    get closed() {
      return raw.destroyed || raw.writableEnded;
    },
    send: (frame, eventId) =>
      write(`${eventId === undefined ? "" : `id: ${eventId}\n`}event: message\ndata: ${frame}\n\n`),
    prime: (eventId, retryMs) => write(`id: ${eventId}\nretry: ${retryMs}\ndata:\n\n`),
    event: (name, data) => write(`event: ${name}\ndata: ${data}\n\n`),
    comment: (text) => write(`: ${text}\n\n`),
    async drained(timeoutMs) {
      // Said of what was written when the buffer was full; "drain" comes when all of it has left.
      if (!raw.writableNeedDrain || raw.destroyed) return !raw.destroyed;
      const signal = AbortSignal.timeout(timeoutMs);
      await Promise.race([once(raw, "drain", { signal }), once(raw, "close", { signal })]).catch(() => undefined);
      return !raw.destroyed && !raw.writableNeedDrain;
    },
    begin: () => raw.flushHeaders(),
    close: () => void raw.end(),
    onClose(listener) {
      if (raw.destroyed) listener();
      else raw.once("close", listener);
    },
  };
}
