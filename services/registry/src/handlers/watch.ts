import { AppError, grpcStatus } from "@tollgate/errors";
import type { Latest } from "./latest.ts";

const WATCHERS_MAX = 2_000;

/** What is used of a gRPC server stream. */
export interface WatchCall {
  readonly cancelled: boolean;
  write(message: unknown, onTaken: (error?: Error | null) => void): unknown;
  end(): unknown;
  emit(event: "error", error: unknown): unknown;
  once(event: string, listener: () => void): unknown;
}

/** The open watch streams of this process. */
export interface Watches {
  /**
   * Sends `latest` at once and again whenever it has changed. At most one snapshot is on its way per stream; a reader
   * that is slower than the changes gets the newest one next, so what it costs does not grow with how far it is behind.
   * @param toAnswer makes a message of a value, for a reader that has `before`; undefined: nothing yet
   */
  open<T>(call: WatchCall, latest: Latest<T>, toAnswer: (value: T, before: T | undefined) => unknown): void;
}

/** Streams end when `signal` aborts: their readers come back, to another replica or to the next process. */
export function createWatches(options: { signal: AbortSignal; onCount: (count: number) => void }): Watches {
  const stops = new Map<WatchCall, () => void>();
  const endAll = (): void => {
    for (const [call, stop] of stops) {
      stop();
      call.end();
    }
  };
  options.signal.addEventListener("abort", endAll, { once: true });

  return {
    open(call, latest, toAnswer) {
      if (stops.size >= WATCHERS_MAX || options.signal.aborted) {
        const error = options.signal.aborted
          ? new AppError("unavailable", "registry is stopping")
          : new AppError("overloaded", `registry has ${WATCHERS_MAX} watchers already`);
        call.emit("error", grpcStatus(error));
        return;
      }
      const stop = sendLatest(call, latest, toAnswer);
      stops.set(call, stop);
      options.onCount(stops.size);
      const forget = (): void => {
        stop();
        if (stops.delete(call)) options.onCount(stops.size);
      };
      for (const event of ["cancelled", "close", "error", "finish"]) call.once(event, forget);
    },
  };
}

function sendLatest<T>(
  call: WatchCall,
  latest: Latest<T>,
  toAnswer: (value: T, before: T | undefined) => unknown,
): () => void {
  let sent: { readonly value: T } | undefined;
  let writing = false;
  let stopped = false;

  const send = (): void => {
    if (writing || stopped || call.cancelled || sent?.value === latest.value) return;
    const before = sent?.value;
    sent = { value: latest.value };
    writing = true;
    // Called back once HTTP/2 flow control has let the whole message go, which write()'s result would not say: it
    // counts messages, and lets sixteen of them wait.
    call.write(toAnswer(sent.value, before), (error) => {
      writing = false;
      if (!error) send();
    });
  };

  const unlisten = latest.listen(send);
  send();
  return () => {
    stopped = true;
    unlisten();
  };
}
