import type { CallEvent } from "@tollgate/contracts";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Bus } from "../src/connection.ts";
import { consumeEvents, type EventConsumer } from "../src/event-consumer.ts";
import { createEventPublisher } from "../src/events.ts";
import type { StreamedEvent } from "../src/read-events.ts";
import { callEvent, useBus } from "./connected.ts";

const connect = useBus(useInfrastructure());
let bus: Bus;
let durable: string;
let durables = 0;
let consumer: EventConsumer | undefined;
let givingUp: AbortController;

beforeAll(async () => {
  bus = await connect();
});
beforeEach(async () => {
  durable = `store-${(durables += 1)}`;
  givingUp = new AbortController();
  await bus.jsm.streams.purge(bus.subjects.streams.audit);
  await bus.jsm.streams.purge(bus.subjects.streams.dead);
});
afterEach(async () => {
  givingUp.abort();
  await consumer?.stop();
  consumer = undefined;
});

type Store = (events: readonly StreamedEvent[]) => Promise<void>;

async function consume(store: Store, changes: { batchMax?: number; batchWaitMs?: number; kind?: string } = {}) {
  const options = { durable, batchMax: 100, batchWaitMs: 20, store, signal: givingUp.signal, ...changes };
  consumer = await consumeEvents(bus, options);
  return consumer;
}

async function publish(events: readonly CallEvent[]): Promise<void> {
  const publisher = createEventPublisher(bus, { waitingMax: 10_000, timeoutMs: 5_000 });
  await Promise.all(events.map((event) => publisher.publish(event)));
}

/** One message for each text, as a writer that does not batch would make them. */
async function publishEach(texts: readonly string[]): Promise<void> {
  const subject = bus.subjects.audit("acme", "call");
  for (let at = 0; at < texts.length; at += 100) {
    await Promise.all(texts.slice(at, at + 100).map((text) => bus.js.publish(subject, text)));
  }
}

const events = (count: number) => Array.from({ length: count }, () => callEvent());
const idsOf = (batch: readonly { event: { id: string } }[]) => batch.map(({ event }) => event.id);

/** Delivered and not acknowledged, and not yet delivered. */
async function unfinished(): Promise<{ delivered: number; waiting: number }> {
  const info = await bus.jsm.consumers.info(bus.subjects.streams.audit, durable);
  return { delivered: info.num_ack_pending, waiting: info.num_pending };
}

async function deadLetters(): Promise<{ data: string; reason: string; subject: string }[]> {
  const { dead } = bus.subjects.streams;
  const { state } = await bus.jsm.streams.info(dead);
  const letters = [];
  for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
    const message = await bus.jsm.streams.getMessage(dead, { seq });
    if (message) letters.push(message.json<{ data: string; reason: string; subject: string }>());
  }
  return letters;
}

describe("storing events", () => {
  it("hands over each event once, in the order of the stream, with its line as it stands there", async () => {
    const given = events(300);
    const stored: StreamedEvent[] = [];
    await consume((batch) => Promise.resolve(void stored.push(...batch)));
    await publish(given);
    await eventually(() => expect(stored).toHaveLength(300));
    expect(stored.map(({ event }) => event)).toEqual(given);
    expect(stored.map(({ line }) => line)).toEqual(given.map((event) => JSON.stringify(event)));
    const sequences = stored.map(({ sequence }) => sequence);
    expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
    await eventually(async () => expect(await unfinished()).toEqual({ delivered: 0, waiting: 0 }));
  });

  it("makes batches: one when enough wait, else one after a while", async () => {
    const batches: number[] = [];
    await consume((batch) => Promise.resolve(void batches.push(batch.length)), { batchMax: 50, batchWaitMs: 150 });
    await publishEach(events(200).map((event) => JSON.stringify(event)));
    await eventually(() => expect(batches.reduce((sum, count) => sum + count, 0)).toBe(200));
    expect(batches.length).toBeLessThanOrEqual(5);
    await publishEach(events(3).map((event) => JSON.stringify(event)));
    await eventually(() => expect(batches.at(-1)).toBe(3));
  });

  it("stores one batch after the other", async () => {
    let storing = 0;
    let most = 0;
    let stored = 0;
    await consume(
      async (batch) => {
        most = Math.max(most, (storing += 1));
        await new Promise((resolve) => setTimeout(resolve, 10));
        storing -= 1;
        stored += batch.length;
      },
      { batchMax: 10, batchWaitMs: 1 },
    );
    await publishEach(events(200).map((event) => JSON.stringify(event)));
    await eventually(() => expect(stored).toBe(200));
    expect(most).toBe(1);
  });

  it("takes only the kind that it asks for", async () => {
    const stored: StreamedEvent[] = [];
    await consume((batch) => Promise.resolve(void stored.push(...batch)), { kind: "call" });
    await bus.js.publish(bus.subjects.audit("acme", "refusal"), JSON.stringify(callEvent()));
    const wanted = callEvent();
    await publish([wanted]);
    await eventually(() => expect(idsOf(stored)).toEqual([wanted.id]));
  });

  it("goes on where it was after a restart", async () => {
    const stored: string[] = [];
    const store: Store = (batch) => Promise.resolve(void stored.push(...idsOf(batch)));
    const given = events(6);
    const first = await consume(store);
    await publish(given.slice(0, 3));
    await eventually(async () => expect(await unfinished()).toEqual({ delivered: 0, waiting: 0 }));
    await first.stop();
    await publish(given.slice(3));
    await consume(store);
    await eventually(() => expect(stored).toEqual(given.map(({ id }) => id)));
  });
});

describe("a store that fails", () => {
  it("is tried again until it succeeds, says why meanwhile, and loses nothing", async () => {
    const given = events(50);
    const stored: string[] = [];
    let tries = 0;
    const failing = await consume((batch) => {
      tries += 1;
      if (tries <= 3) return Promise.reject(new Error("the database is gone"));
      stored.push(...idsOf(batch));
      return Promise.resolve();
    });
    await publish(given);
    await eventually(() => expect(failing.problem()).toBe("the database is gone"));
    expect((await unfinished()).delivered).toBeGreaterThan(0);
    await eventually(() => expect(stored).toHaveLength(50));
    expect(stored).toEqual(given.map(({ id }) => id));
    await eventually(() => expect(failing.problem()).toBeUndefined());
    await eventually(async () => expect(await unfinished()).toEqual({ delivered: 0, waiting: 0 }));
  });

  it("holds a bounded number of events, leaves the others on the stream, and stores all of them in the end", async () => {
    const given = events(1_500);
    const stored: string[] = [];
    let open = (): void => {};
    const opened = new Promise<void>((resolve) => (open = resolve));
    const waiting = await consume(async (batch) => {
      await opened;
      stored.push(...idsOf(batch));
    });
    await publishEach(given.map((event) => JSON.stringify(event)));
    await eventually(async () => expect(await unfinished()).toEqual({ delivered: 1_000, waiting: 500 }));
    expect(waiting.waiting).toBeLessThanOrEqual(1_000);
    open();
    await eventually(() => expect(stored).toHaveLength(1_500));
    expect(new Set(stored).size).toBe(1_500);
  });

  it("keeps what it holds for longer than the stream waits, without taking it twice", async () => {
    const given = events(20);
    const stored: string[] = [];
    let open = (): void => {};
    const opened = new Promise<void>((resolve) => (open = resolve));
    await consume(async (batch) => {
      await opened;
      stored.push(...idsOf(batch));
    });
    await publishEach(given.map((event) => JSON.stringify(event)));
    await eventually(async () => expect((await unfinished()).delivered).toBe(20));
    const info = await bus.jsm.consumers.info(bus.subjects.streams.audit, durable);
    const waitMs = (info.config.ack_wait ?? 0) / 1_000_000;
    const until = Date.now() + waitMs + 1_500;
    await eventually(() => expect(Date.now()).toBeGreaterThan(until), { timeoutMs: waitMs + 10_000 });
    expect((await bus.jsm.consumers.info(bus.subjects.streams.audit, durable)).num_redelivered).toBe(0);
    open();
    await eventually(() => expect(stored.toSorted((a, b) => a.localeCompare(b))).toEqual(given.map(({ id }) => id)));
  });

  it("that a consumer gave up on leaves its events to the next one", async () => {
    const given = events(5);
    const stuck = await consume(() => Promise.reject(new Error("never")));
    await publish(given);
    await eventually(() => expect(stuck.problem()).toBe("never"));
    givingUp.abort();
    await stuck.stop();
    expect((await unfinished()).delivered).toBeGreaterThan(0);
    givingUp = new AbortController();
    const stored: string[] = [];
    await consume((batch) => Promise.resolve(void stored.push(...idsOf(batch))));
    await eventually(() => expect(stored).toEqual(given.map(({ id }) => id)), { timeoutMs: 25_000 });
  });
});

describe("a line that is no event", () => {
  it("is put aside with its place and its reason, and the others of its message are stored", async () => {
    const [first, last] = [callEvent(), callEvent()];
    const bad = ["not json", JSON.stringify({ ...first, outcome: "lost" }), ""];
    const stored: string[] = [];
    await consume((batch) => Promise.resolve(void stored.push(...idsOf(batch))));
    await publishEach([[bad[0], JSON.stringify(first), bad[1], JSON.stringify(last), bad[2]].join("\n")]);
    await eventually(() => expect(stored).toEqual([first.id, last.id]));
    await eventually(async () => expect((await deadLetters()).map(({ data }) => data)).toEqual(bad));
    for (const { reason, subject } of await deadLetters()) {
      expect(reason).not.toBe("");
      expect(subject).toBe(bus.subjects.audit("acme", "call"));
    }
    await eventually(async () => expect(await unfinished()).toEqual({ delivered: 0, waiting: 0 }));
  });

  it.each([
    ["as large as a message can be", "\0".repeat(8 * 1024 * 1024 - 1_000)],
    ["nested deeper than a stack", `{"v":1,"kind":${"[".repeat(30_000)}${"]".repeat(30_000)}}`],
    ["bytes that are no text", Buffer.from([0xff, 0xfe, 0xc3, 0x28])],
  ])("and that is %s does not keep those after it from being stored", async (_what, line) => {
    const stored: string[] = [];
    await consume((batch) => Promise.resolve(void stored.push(...idsOf(batch))));
    await bus.js.publish(bus.subjects.audit("acme", "call"), line);
    const next = callEvent();
    await publish([next]);
    await eventually(() => expect(stored).toEqual([next.id]));
    await eventually(async () => expect(await deadLetters()).toHaveLength(1));
    await eventually(async () => expect(await unfinished()).toEqual({ delivered: 0, waiting: 0 }));
  });
});

describe("stopping", () => {
  it("stores what waits, without waiting for more", async () => {
    const given = events(20);
    const stored: string[] = [];
    const stopping = await consume((batch) => Promise.resolve(void stored.push(...idsOf(batch))), {
      batchMax: 1_000,
      batchWaitMs: 60_000,
    });
    await publish(given);
    await eventually(() => expect(stopping.waiting).toBe(20));
    await stopping.stop();
    expect(stored).toEqual(given.map(({ id }) => id));
    await eventually(async () => expect(await unfinished()).toEqual({ delivered: 0, waiting: 0 }));
  });

  it("stores what came while a batch was being stored, too", async () => {
    const stored: string[] = [];
    let open = (): void => {};
    const opened = new Promise<void>((resolve) => (open = resolve));
    const stopping = await consume(
      async (batch) => {
        await opened;
        // Long enough for `stop` to be beaten by a batch that it did not wait for.
        await new Promise((resolve) => setTimeout(resolve, 50));
        stored.push(...idsOf(batch));
      },
      { batchMax: 5, batchWaitMs: 10 },
    );
    const given = events(40);
    await publishEach(given.slice(0, 5).map((event) => JSON.stringify(event)));
    await eventually(async () => expect((await unfinished()).delivered).toBe(5));
    await publishEach(given.slice(5).map((event) => JSON.stringify(event)));
    await eventually(() => expect(stopping.waiting).toBeGreaterThanOrEqual(35));
    const stopped = stopping.stop();
    open();
    await stopped;
    expect(stored).toHaveLength(40);
  });
});
