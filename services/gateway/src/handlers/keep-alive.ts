import type { WebSocket } from "ws";

const PING_INTERVAL_MS = 30_000;

/** A peer that is gone without a word is noticed within two intervals. */
export function keepAlive(socket: WebSocket): () => void {
  let answered = true;
  socket.on("pong", () => (answered = true));
  const timer = setInterval(() => {
    if (!answered) return socket.terminate();
    answered = false;
    socket.ping();
  }, PING_INTERVAL_MS);
  return () => clearInterval(timer);
}
