import { setTimeout as delay } from "node:timers/promises";
import type { CallEvent } from "@tollgate/contracts";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Bus, connectBus } from "../src/connection.ts";
import { type DurableBatch, durableLags, forgetDurable, readDurably } from "../src/durable-reader.ts";
import { endOfEvents, type StreamPosition } from "../src/read-events.ts";
import { callEvent, useBus } from "./connected.ts";
import { useOwnNats } from "./own-nats.ts";

const connect = useBus(useInfrastructure());
const NAME = "export-siem";
let bus: Bus;
let ending: AbortController;

beforeAll(async () => {
  bus = await connect();
});
beforeEach(async () => {
  ending = new AbortController();
  await bus.jsm.streams.purge(bus.subjects.streams.audit);
});
afterEach(async () => {
  ending.abort();
  await forgetDurable(bus, NAME);
});

type Options = Parameters<typeof readDurably>[1];

const defaults = (): Options => ({
  name: NAME,
  begin: "beginning",
  last: undefined,
  tenants: [],
  kinds: [],
  batchMax: 10,
  batchWaitMs: 20,
  onGap: () => {},
  signal: ending.signal,
});

/** Hands each batch over; ends when that says so, or when reading fails. */
async function read(options: Partial<Options>, take: (batch: DurableBatch) => Promise<boolean> | boolean) {
  for await (const batch of readDurably(bus, { ...defaults(), ...options })) if (!(await take(batch))) return;
}

/** Acknowledges all until it has read so many. */
async function readIds(count: number, options: Partial<Options> = {}): Promise<string[]> {
  const ids: string[] = [];
  await read(options, async (batch) => {
    ids.push(...batch.events.map(({ event }) => event.id));
    await batch.acknowledge();
    return ids.length < count;
  });
  return ids;
}

/** One message for each event. */
async function publish(count: number, fields: Partial<CallEvent> = {}): Promise<string[]> {
  const events = Array.from({ length: count }, () => callEvent(fields));
  for (const event of events) await bus.js.publish(bus.subjects.audit(event.tenant, "call"), JSON.stringify(event));
  return events.map(({ id }) => id);
}

describe("reading under a name", () => {
  it("goes on where acknowledgements ended, in order and at once, with what was in hand unacknowledged", async () => {
    const ids = await publish(100);
    const seen: string[] = [];
    await read({}, async (batch) => {
      // The last batch that it takes is not acknowledged.
      if (seen.length >= 30) return false;
      seen.push(...batch.events.map(({ event }) => event.id));
      await batch.acknowledge();
      return true;
    });
    expect(seen).toEqual(ids.slice(0, 30));
    expect(await durableLags(bus, "export-")).toEqual(new Map([[NAME, 70]]));
    expect(await readIds(70)).toEqual(ids.slice(30));
    expect((await durableLags(bus, "export-")).get(NAME)).toBe(0);
  });

  it("takes the place of a reader that still lives: that one can acknowledge nothing any more", async () => {
    const ids = await publish(20);
    let overtaken: DurableBatch | undefined;
    const first = read({}, async (batch) => {
      overtaken = batch;
      expect(await readIds(20)).toEqual(ids);
      await batch.acknowledge();
      return true;
    });
    await expect(first).rejects.toBeInstanceOf(Error);
    expect(overtaken).toBeDefined();
    expect((await durableLags(bus, NAME)).get(NAME)).toBe(0);
  });

  it("begins with what comes, with all that there is, or at a time", async () => {
    const old = await publish(3);
    const { last } = await endOfEvents(bus);
    const lastTime = (await bus.jsm.streams.getMessage(bus.subjects.streams.audit, { seq: last }))!.time.getTime();
    const reading = readIds(2, { begin: "now" });
    await eventually(async () => expect((await durableLags(bus, NAME)).has(NAME)).toBe(true));
    const fresh = await publish(2);
    expect(await reading).toEqual(fresh);
    await forgetDurable(bus, NAME);
    expect(await readIds(5)).toEqual([...old, ...fresh]);
    await forgetDurable(bus, NAME);
    expect((await readIds(2, { begin: lastTime + 1 })).slice(-2)).toEqual(fresh);
  });

  it("a reader that dies before it has acknowledged anything loses nothing, wherever it was to begin", async () => {
    const reading = read({ begin: "now" }, () => false);
    await eventually(async () => expect((await durableLags(bus, NAME)).has(NAME)).toBe(true));
    const ids = await publish(5);
    await reading;
    expect(await readIds(5, { begin: "now" })).toEqual(ids);
  });

  it("reads only the tenants and kinds that are wanted, which may be others the next time", async () => {
    const acme = await publish(2, { tenant: "acme" });
    const other = await publish(2, { tenant: "other" });
    await publish(2, { tenant: "third" });
    expect(await readIds(4, { tenants: ["acme", "other", "acme"], kinds: ["call", "alert"] })).toEqual([
      ...acme,
      ...other,
    ]);
    const later = await publish(1, { tenant: "third" });
    expect((await readIds(1, { tenants: ["third"] })).slice(-1)).toEqual(later);
  });

  it("says what may be missing when the stream has let go of what was not read yet", async () => {
    await publish(10);
    let last: StreamPosition | undefined;
    await read({ batchMax: 4 }, async (batch) => {
      await batch.acknowledge();
      last = batch.position;
      return false;
    });
    await publish(10);
    await bus.jsm.streams.purge(bus.subjects.streams.audit, { seq: (await endOfEvents(bus)).last - 4 });
    const gaps: number[] = [];
    expect(await readIds(5, { last, onGap: (messages) => gaps.push(messages) })).toHaveLength(5);
    expect(gaps).toEqual([11]);
  });

  it("goes on where its caller remembers, when the stream has lost the place", async () => {
    const ids = await publish(10);
    let last: StreamPosition | undefined;
    await read({ batchMax: 4 }, async (batch) => {
      await batch.acknowledge();
      last = batch.position;
      return false;
    });
    await forgetDurable(bus, NAME);
    expect(await readIds(6, { begin: "now", last })).toEqual(ids.slice(4));
    await forgetDurable(bus, NAME);
    // Another stream's: all of this one is new.
    expect(await readIds(10, { begin: "now", last: { ...last!, stream: "of before" } })).toEqual(ids);
  });
});

describe("a server that is killed", () => {
  const own = useOwnNats();

  it("has every event read once it is back: none missing, in order", async () => {
    const { signal } = ending;
    const mine = await connectBus({ url: own.url, name: "test", prefix: "", log: testLog, signal });
    try {
      const events = Array.from({ length: 300 }, () => callEvent());
      const publishEach = async (given: readonly CallEvent[]): Promise<void> => {
        for (const event of given)
          await mine.js.publish(mine.subjects.audit(event.tenant, "call"), JSON.stringify(event));
      };
      await publishEach(events.slice(0, 200));
      const seen = new Set<string>();
      let isKilled = false;
      // As whoever sends events on does: what fails begins again.
      const reading = (async () => {
        while (seen.size < events.length) {
          try {
            for await (const batch of readDurably(mine, defaults())) {
              for (const { event } of batch.events) seen.add(event.id);
              await batch.acknowledge();
              if (seen.size === events.length) return;
              if (seen.size < 100 || isKilled) continue;
              await own.kill();
              isKilled = true;
            }
          } catch {
            await delay(100);
          }
        }
      })();
      await eventually(() => expect(isKilled).toBe(true));
      await own.start();
      await eventually(() => expect(mine.problem()).toBeUndefined(), { timeoutMs: 20_000 });
      await publishEach(events.slice(200));
      await reading;
      expect([...seen]).toEqual(events.map(({ id }) => id));
    } finally {
      await mine.connection.close();
    }
  }, 60_000);
});
