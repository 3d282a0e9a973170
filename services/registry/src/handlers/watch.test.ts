import { EventEmitter } from "node:events";
import { status } from "@grpc/grpc-js";
import { eventually } from "@tollgate/testkit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createLatest, type Latest } from "./latest.ts";
import { createWatches, type Watches } from "./watch.ts";

/** The writing side of a stream whose reader takes a message only when told to. */
class ManualCall extends EventEmitter {
  cancelled = false;
  ended = false;
  readonly written: string[] = [];
  private onTaken: ((error?: Error) => void) | undefined;

  write(message: string, onTaken: (error?: Error) => void): boolean {
    if (this.onTaken) throw new Error("two messages on their way at once");
    this.written.push(message);
    this.onTaken = onTaken;
    return true;
  }
  take(error?: Error): void {
    const taken = this.onTaken;
    this.onTaken = undefined;
    taken?.(error);
    if (this.ended) this.emit("finish");
  }
  end(): void {
    this.ended = true;
    if (!this.onTaken) this.emit("finish");
  }
}

let ending: AbortController;
let latest: Latest<number>;
let counts: number[];
let watches: Watches;

beforeEach(() => {
  ending = new AbortController();
  latest = createLatest(1, { spacingMs: 5, signal: ending.signal });
  counts = [];
  watches = createWatches({ signal: ending.signal, onCount: (count) => counts.push(count) });
});
afterEach(() => ending.abort());

function open(): ManualCall {
  const call = new ManualCall();
  watches.open(call, latest, String);
  return call;
}

/** Settles once listeners have been told of the newest value. */
async function told(): Promise<void> {
  const heard = new Promise<void>((resolve) => latest.listen(resolve));
  latest.set(latest.value);
  await heard;
}

describe("a watch stream", () => {
  test("gets the value at once, and of many changes while it is slow only the newest", async () => {
    const call = open();
    expect(call.written).toEqual(["1"]);
    for (let value = 2; value <= 50; value++) {
      latest.set(value);
      if (value % 10 === 0) await told();
    }
    expect(call.written).toEqual(["1"]);
    call.take();
    expect(call.written).toEqual(["1", "50"]);
    call.take();
    expect(call.written).toEqual(["1", "50"]);
    latest.set(51);
    await eventually(() => expect(call.written).toEqual(["1", "50", "51"]));
  });

  test("is forgotten once it is cancelled or broken", async () => {
    const gone = open();
    const broken = open();
    const here = open();
    expect(counts).toEqual([1, 2, 3]);
    gone.cancelled = true;
    gone.emit("cancelled");
    gone.emit("close");
    broken.take(new Error("reset"));
    broken.once("error", () => undefined);
    broken.emit("error", new Error("reset"));
    expect(counts).toEqual([1, 2, 3, 2, 1]);
    here.take();
    latest.set(2);
    await eventually(() => expect(here.written).toEqual(["1", "2"]));
    expect([gone.written, broken.written]).toEqual([["1"], ["1"]]);
  });

  test("ends when the service stops, and none is opened after that", () => {
    const call = open();
    latest.set(2);
    ending.abort();
    expect(call.ended).toBe(true);
    call.take();
    expect(call.written).toEqual(["1"]);
    expect(counts).toEqual([1, 0]);
    const late = new ManualCall();
    const errors: { code: number }[] = [];
    late.on("error", (error: { code: number }) => errors.push(error));
    watches.open(late, latest, String);
    expect(errors.map(({ code }) => code)).toEqual([status.UNAVAILABLE]);
    expect(late.written).toEqual([]);
  });
});

describe("latest", () => {
  test("tells of a burst twice at most: for its first and for its last", async () => {
    const values: number[] = [];
    const spaced = createLatest(0, { spacingMs: 60, signal: ending.signal });
    spaced.listen(() => values.push(spaced.value));
    spaced.set(1);
    await eventually(() => expect(values).toEqual([1]));
    for (let value = 2; value <= 9; value++) spaced.set(value);
    await eventually(() => expect(values.at(-1)).toBe(9));
    expect(values.length).toBeLessThanOrEqual(3);
  });
});
