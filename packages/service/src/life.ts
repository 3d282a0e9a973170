import type { Log } from "./log.ts";

interface Closer {
  readonly name: string;
  readonly timeoutMs: number;
  readonly close: () => unknown;
}

/** What a service has acquired and how each is given back: last in, first out, each within its time. */
export interface Life {
  /** Aborted when closing begins: stops loops and waits. */
  readonly signal: AbortSignal;
  /** Registers how the thing just acquired is given back. */
  onClose(name: string, timeoutMs: number, close: () => unknown): void;
  close(): Promise<void>;
}

export function openLife(log: Log): Life {
  const closers: Closer[] = [];
  const ending = new AbortController();
  let closing: Promise<void> | undefined;

  async function closeAll(): Promise<void> {
    ending.abort();
    // Taken one by one: a step may itself have acquired something.
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) {
      const { name, timeoutMs, close } = closer;
      try {
        await within(timeoutMs, Promise.resolve().then(close), "not closed");
      } catch (error) {
        log.warn({ err: error, step: name }, "closing step failed; going on");
      }
    }
  }

  return {
    signal: ending.signal,
    onClose: (name, timeoutMs, close) => void closers.push({ name, timeoutMs, close }),
    close: () => (closing ??= closeAll()),
  };
}

/** @throws {Error} `late` and the time, when `work` has not settled by then */
export async function within<T>(timeoutMs: number, work: Promise<T>, late: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${late} within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
