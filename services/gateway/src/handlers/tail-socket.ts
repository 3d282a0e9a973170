import type { WebSocket } from "ws";
import type { TailStream } from "./audit-tail.ts";

/** Of one tail, unread by its client. */
const BUFFER_MAX_BYTES = 8 * 1024 * 1024;
/** Up to here a client reads fast enough. */
const UNREAD_BYTES = 64 * 1024;
const GOING_AWAY = 1001;
const ENDED = 1008;

/** A tail over WebSocket: `{"id", "event"}` for each event, and `{"gap": …}`. */
export function openTailSocket(socket: WebSocket, stopping: AbortSignal): TailStream {
  let reason = "";
  let flushed: Promise<unknown> = Promise.resolve();

  function write(text: string): void {
    if (socket.readyState !== socket.OPEN) return;
    // Whoever does not read is cut off before it fills the memory.
    if (socket.bufferedAmount > BUFFER_MAX_BYTES) return socket.terminate();
    flushed = new Promise((resolve) => socket.send(text, resolve));
  }

  return {
    send: (line, id) => write(`{"id":${JSON.stringify(id)},"event":${line}}`),
    event: (name, data) => write(`{${JSON.stringify(name)}:${data}}`),
    comment: (text) => (reason = text),
    async drained(timeoutMs) {
      if (socket.readyState !== socket.OPEN || socket.bufferedAmount <= UNREAD_BYTES)
        return socket.readyState === socket.OPEN;
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([flushed, new Promise((resolve) => (timer = setTimeout(resolve, timeoutMs)))]);
      clearTimeout(timer);
      return socket.readyState === socket.OPEN && socket.bufferedAmount <= UNREAD_BYTES;
    },
    close: () => socket.close(stopping.aborted ? GOING_AWAY : ENDED, reason),
    onClose(listener) {
      if (socket.readyState >= socket.CLOSING) listener();
      else socket.once("close", listener);
    },
  };
}
