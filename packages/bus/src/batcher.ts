import { AppError } from "@tollgate/errors";

export interface Batcher<T> {
  /** Settles with the batch that the item travelled in. Rejects at once with `overloaded` when too many wait. */
  push(item: T, bytes: number): Promise<void>;
  readonly size: number;
}

interface Waiting<T> {
  readonly item: T;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Collects what becomes ready in the same tick into one message. While `inFlightMax` messages are on their way, what
 * comes meanwhile waits and shares the next one: the batch grows by itself exactly when there is load, and a lone item
 * is sent without delay.
 */
export function createBatcher<T>(options: {
  name: string;
  send: (items: T[]) => Promise<void>;
  itemsMax: number;
  bytesMax: number;
  inFlightMax: number;
  waitingMax: number;
}): Batcher<T> {
  const { name, send, itemsMax, bytesMax, inFlightMax, waitingMax } = options;
  let waiting: Waiting<T>[] = [];
  let inFlight = 0;
  let scheduled = false;

  function schedule(): void {
    if (scheduled || inFlight >= inFlightMax || waiting.length === 0) return;
    scheduled = true;
    setImmediate(flush);
  }

  function flush(): void {
    scheduled = false;
    while (waiting.length > 0 && inFlight < inFlightMax) {
      const batch = takeBatch();
      inFlight += 1;
      const items = batch.map((each) => each.item);
      // Made a rejection, should `send` throw: nobody else would tell those who wait.
      new Promise<void>((resolve) => resolve(send(items))).then(
        () => settle(batch, (each) => each.resolve()),
        (error: unknown) => settle(batch, (each) => each.reject(error)),
      );
    }
  }

  function takeBatch(): Waiting<T>[] {
    let count = 0;
    let bytes = 0;
    while (count < waiting.length && count < itemsMax && (count === 0 || bytes + waiting[count]!.bytes <= bytesMax)) {
      bytes += waiting[count]!.bytes;
      count += 1;
    }
    const batch = waiting.slice(0, count);
    waiting = waiting.slice(count);
    return batch;
  }

  function settle(batch: Waiting<T>[], each: (waiting: Waiting<T>) => void): void {
    inFlight -= 1;
    for (const item of batch) each(item);
    schedule();
  }

  return {
    push: (item, bytes) =>
      new Promise((resolve, reject) => {
        if (waiting.length >= waitingMax) {
          reject(new AppError("overloaded", `${name}: ${waitingMax} are waiting already; try again later`));
          return;
        }
        waiting.push({ item, bytes, resolve, reject });
        schedule();
      }),
    get size() {
      return waiting.length;
    },
  };
}
