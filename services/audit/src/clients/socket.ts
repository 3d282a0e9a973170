import { connect as connectTcp, isIP, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { AppError } from "@tollgate/errors";
import type { TlsFiles } from "./target.ts";

/** How long a connection is watched for a receiver that has closed it already, or resets it. */
const SETTLE_MS = 50;

interface SocketOptions {
  readonly host: string;
  readonly port: number;
  /** Undefined: not encrypted. */
  readonly tls: TlsFiles | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Sends bytes to a receiver that acknowledges nothing, as syslog's do, and resolves when it has them: after the last
 * byte this side of the connection is ended, and a receiver ends its own once it has read up to there. One that dies
 * with bytes unread has its connection reset by its system. So each batch has a connection of its own.
 * @throws {AppError} `unavailable`
 */
export async function sendBytes(bytes: Buffer, options: SocketOptions): Promise<void> {
  const { timeoutMs, signal } = options;
  const timeout = AbortSignal.timeout(timeoutMs);
  const ending = AbortSignal.any([signal, timeout]);
  const socket = open(options);
  const abort = (): void => void socket.destroy(new Error("ended"));
  ending.addEventListener("abort", abort, { once: true });
  try {
    if (ending.aborted) abort();
    await deliver(socket, bytes);
  } catch (error) {
    throw new AppError("unavailable", timeout.aborted ? lateness(socket, timeoutMs) : (error as Error).message, {
      cause: error,
    });
  } finally {
    ending.removeEventListener("abort", abort);
    socket.destroy();
  }
}

function open({ host, port, tls }: SocketOptions): Socket {
  // What the other side ends is not ended here by itself: that would look like the end of this side.
  const place = { host, port, allowHalfOpen: true };
  if (tls === undefined) return connectTcp(place);
  return connectTls({ ...place, ...tls, ...(isIP(host) === 0 ? { servername: host } : {}) });
}

async function deliver(socket: Socket, bytes: Buffer): Promise<void> {
  const failed = new Promise<never>((_, reject) => {
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("the receiver has broken the connection")));
  });
  failed.catch(() => {});
  let isEnding = false;
  const read = new Promise<void>((resolve, reject) => {
    socket.once("end", () => {
      if (isEnding) resolve();
      else reject(new Error("the receiver has ended the connection before it had all"));
    });
  });
  read.catch(() => {});
  // Whatever it says is nothing that syslog knows; unread it would hold up the end.
  socket.resume();
  await Promise.race([failed, read, new Promise<void>((resolve) => void socket.write(bytes, () => resolve()))]);
  await Promise.race([failed, read, delay(SETTLE_MS)]);
  isEnding = true;
  socket.end();
  await Promise.race([failed, read]);
}

function lateness(socket: Socket, timeoutMs: number): string {
  const what = socket.writableEnded
    ? "the receiver has not closed a connection that was ended"
    : socket.connecting
      ? "no connection"
      : "the receiver has not taken all";
  return `${what} within ${timeoutMs} ms`;
}
