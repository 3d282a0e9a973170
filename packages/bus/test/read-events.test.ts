import { type CallEvent, newCallId } from "@tollgate/contracts";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Bus, connectBus } from "../src/connection.ts";
import { createEventPublisher } from "../src/events.ts";
import { endOfEvents, type ReadBatch, readEvents } from "../src/read-events.ts";
import { callEvent, useBus } from "./connected.ts";
import { useOwnNats } from "./own-nats.ts";

const connect = useBus(useInfrastructure());
let bus: Bus;
let ending: AbortController;

beforeAll(async () => {
  bus = await connect();
});
beforeEach(async () => {
  ending = new AbortController();
  await bus.jsm.streams.purge(bus.subjects.streams.audit);
});
afterEach(() => ending.abort());

type Options = Parameters<typeof readEvents>[1];

/** Reads on until the test ends; what it has read can be looked at meanwhile. */
function read(options: Partial<Options> = {}, of: Bus = bus) {
  const batches: ReadBatch[] = [];
  const reading = (async () => {
    const given = { from: { stream: "", sequence: 0 }, batchMax: 100, batchWaitMs: 20, signal: ending.signal };
    for await (const batch of readEvents(of, { ...given, ...options })) batches.push(batch);
  })();
  return {
    batches,
    reading,
    ids: () => batches.flatMap(({ events }) => events.map(({ event }) => event.id)),
  };
}

async function publish(events: readonly CallEvent[], on: Bus = bus): Promise<void> {
  const publisher = createEventPublisher(on, { waitingMax: 10_000, timeoutMs: 5_000 });
  await Promise.all(events.map((event) => publisher.publish(event)));
}

/** One message for each event. */
async function publishEach(events: readonly CallEvent[], on: Bus = bus): Promise<void> {
  for (const event of events) await on.js.publish(on.subjects.audit(event.tenant, event.kind), JSON.stringify(event));
}

const events = (count: number, fields: Partial<CallEvent> = {}) =>
  Array.from({ length: count }, () => callEvent(fields));
const idsOf = (given: readonly CallEvent[]) => given.map(({ id }) => id);

describe("reading", () => {
  it("gives each event once, in the order of the stream, with its line as it stands there", async () => {
    const given = events(1_000);
    await publish(given.slice(0, 500));
    const reader = read({ batchMax: 70 });
    await publish(given.slice(500));
    await eventually(() => expect(reader.ids()).toEqual(idsOf(given)));
    const read1 = reader.batches.flatMap((batch) => batch.events);
    expect(read1.map(({ line }) => line)).toEqual(given.map((event) => JSON.stringify(event)));
    const { stream, last } = await endOfEvents(bus);
    expect(reader.batches.at(-1)).toMatchObject({ position: { stream, sequence: last }, pending: 0 });
    expect(reader.batches.every((batch) => batch.missing === undefined)).toBe(true);
  });

  it("goes on behind any position that it has given", async () => {
    const given = events(30);
    await publishEach(given);
    const all = read({ batchMax: 7 });
    await eventually(() => expect(all.ids()).toEqual(idsOf(given)));
    for (const [at, { position }] of all.batches.entries()) {
      const rest = read({ from: position });
      const expected = all.batches.slice(at + 1).flatMap((batch) => batch.events.map(({ event }) => event.id));
      await eventually(() => expect(rest.ids()).toEqual(expected));
    }
  });

  it("can be of one tenant or kind, from a time on, or from now on", async () => {
    const old = events(3);
    await publishEach(old);
    const late = read({ from: "now" });
    await eventually(async () => {
      const consumers = await bus.jsm.consumers.list(bus.subjects.streams.audit).next();
      expect(consumers.length).toBeGreaterThan(0);
    });
    const since = Date.now() + 1;
    await eventually(() => expect(Date.now()).toBeGreaterThan(since));
    const [mine, theirs] = [callEvent(), callEvent({ tenant: "other" })];
    await publishEach([mine, theirs]);
    await bus.js.publish(bus.subjects.audit("acme", "refusal"), "no event");
    await eventually(() => expect(late.ids()).toEqual(idsOf([mine, theirs])));
    for (const [options, expected] of [
      [{ tenant: "other" }, [theirs]],
      [{ tenant: "acme", kind: "call" }, [...old, mine]],
      [{ kind: "call" }, [...old, mine, theirs]],
      [{ from: { fromMs: since } }, [mine, theirs]],
    ] as const) {
      const reader = read(options);
      await eventually(() => expect(reader.ids()).toEqual(idsOf(expected)));
    }
  });

  it("names lines that are no events and gives the others of their message", async () => {
    const [first, last] = events(2) as [CallEvent, CallEvent];
    const subject = bus.subjects.audit("acme", "call");
    await bus.js.publish(subject, ["{", JSON.stringify(first), "", JSON.stringify(last)].join("\n"));
    const reader = read();
    await eventually(() => expect(reader.ids()).toEqual(idsOf([first, last])));
    expect(reader.batches[0]!.badLines).toMatchObject([
      { subject, at: 0, line: "{", reason: expect.stringContaining("JSON") },
      { subject, at: 2, line: "" },
    ]);
  });

  it.each([
    ["as large as a message can be", "\0".repeat(8 * 1024 * 1024 - 1_000)],
    ["nested deeper than a stack", `{"v":1,"kind":${"[".repeat(30_000)}${"]".repeat(30_000)}}`],
    ["bytes that are no text", Buffer.from([0xff, 0xfe, 0xc3, 0x28])],
  ])("goes on behind a line that is %s", async (_what, line) => {
    const reader = read();
    await bus.js.publish(bus.subjects.audit("acme", "call"), line);
    const next = callEvent();
    await publish([next]);
    await eventually(() => expect(reader.ids()).toEqual([next.id]));
    expect(reader.batches.flatMap((batch) => batch.badLines)).toHaveLength(1);
  });

  it("reads no more than is under way while nobody asks for the next batch", async () => {
    await publishEach(events(1_500));
    const reader = readEvents(bus, {
      from: { stream: "", sequence: 0 },
      batchMax: 10,
      batchWaitMs: 20,
      signal: ending.signal,
    });
    const { value } = await reader.next();
    expect(value).toMatchObject({ pending: expect.any(Number) });
    await eventually(async () => {
      const [info] = await bus.jsm.consumers.list(bus.subjects.streams.audit).next();
      expect(info?.num_pending).toBe(1_300);
    });
    await reader.return();
  });

  it("ends when it is told to, and leaves no consumer behind", async () => {
    const reader = read();
    await publish(events(1));
    await eventually(() => expect(reader.ids()).toHaveLength(1));
    ending.abort();
    await reader.reading;
    await eventually(async () =>
      expect(await bus.jsm.consumers.list(bus.subjects.streams.audit).next()).toHaveLength(0),
    );
  });
});

describe("messages that are gone", () => {
  it("are named: before the first, and between two", async () => {
    const given = events(6);
    await publishEach(given);
    const { stream, first } = await endOfEvents(bus);
    await bus.jsm.streams.purge(bus.subjects.streams.audit, { seq: first + 2 });
    await bus.jsm.streams.deleteMessage(bus.subjects.streams.audit, first + 4);
    const reader = read({ from: { stream, sequence: first - 1 }, batchMax: 1 });
    await eventually(() => expect(reader.ids()).toEqual([given[2]!.id, given[3]!.id, given[5]!.id]));
    expect(reader.batches.map(({ missing }) => missing)).toEqual([
      { from: first, to: first + 1 },
      undefined,
      { from: first + 4, to: first + 4 },
    ]);
  });

  it("are none of a reader that begins, nor of one with a filter", async () => {
    await publishEach(events(3));
    await bus.js.publish(bus.subjects.audit("acme", "refusal"), "no event");
    const { first, stream } = await endOfEvents(bus);
    expect(first).toBeGreaterThan(1);
    const beginner = read();
    const filtered = read({ kind: "refusal", from: { stream, sequence: first - 1 } });
    await eventually(() => expect(beginner.ids()).toHaveLength(3));
    await eventually(() => expect(filtered.batches).toHaveLength(1));
    expect([...beginner.batches, ...filtered.batches].filter(({ missing }) => missing)).toEqual([]);
  });
});

describe("a stream that is another one", () => {
  const own = useOwnNats();
  const opened: Bus[] = [];
  const connectOwn = async (): Promise<Bus> => {
    const signal = new AbortController().signal;
    const made = await connectBus({ url: own.url, name: "test", prefix: "", log: testLog, signal });
    opened.push(made);
    return made;
  };
  afterAll(() => Promise.all(opened.map((each) => each.connection.close())));

  it("is read from its beginning: made anew under a reader, and behind a position of the old one", async () => {
    const mine = await connectOwn();
    const old = events(5);
    await publishEach(old, mine);
    const reader = read({}, mine);
    await eventually(() => expect(reader.ids()).toEqual(idsOf(old)));
    const before = reader.batches.at(-1)!.position;

    const { config } = await mine.jsm.streams.info(mine.subjects.streams.audit);
    await mine.jsm.streams.delete(mine.subjects.streams.audit);
    await mine.jsm.streams.add(config);
    const fresh = events(2);
    await publishEach(fresh, mine);
    await eventually(() => expect(reader.ids()).toEqual(idsOf([...old, ...fresh])), { timeoutMs: 20_000 });
    expect(reader.batches.at(-1)!.position).toMatchObject({ sequence: 2 });
    expect(reader.batches.at(-1)!.position.stream).not.toBe(before.stream);

    const late = read({ from: before }, mine);
    await eventually(() => expect(late.ids()).toEqual(idsOf(fresh)));
  }, 40_000);

  it("is one that has lost its end, too, however far it has come since", async () => {
    const mine = await connectOwn();
    await publishEach(events(3), mine);
    const { stream, last } = await endOfEvents(mine);
    const { time } = (await mine.jsm.streams.getMessage(mine.subjects.streams.audit, { seq: last }))!;
    const same = read({ from: { stream, sequence: last, publishedAtMs: time.getTime() } }, mine);
    const behind = read({ from: { stream, sequence: last + 7 } }, mine);
    const other = read({ from: { stream, sequence: last, publishedAtMs: time.getTime() - 5_000 } }, mine);
    await eventually(() => expect(behind.ids().length).toBeGreaterThanOrEqual(3));
    await eventually(() => expect(other.ids()).toEqual(behind.ids()));
    const next = { ...callEvent(), id: newCallId(Date.now()) };
    await publishEach([next], mine);
    await eventually(() => expect(same.ids()).toEqual([next.id]));
  }, 40_000);

  it("goes on when NATS was killed", async () => {
    const mine = await connectOwn();
    const reader = read({}, mine);
    await eventually(() => expect(reader.ids().length).toBeGreaterThan(0));
    const count = reader.ids().length;
    await own.kill();
    await own.start();
    const next = events(3);
    await eventually(() => publishEach(next, mine), { timeoutMs: 20_000 });
    await eventually(() => expect(new Set(reader.ids().slice(count))).toEqual(new Set(idsOf(next))), {
      timeoutMs: 30_000,
    });
  }, 60_000);
});
