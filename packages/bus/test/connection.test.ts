import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { AppError } from "@tollgate/errors";
import { eventually, testLog } from "@tollgate/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { consumeCalls, createCallPublisher } from "../src/calls.ts";
import { type Bus, type BusLog, connectBus } from "../src/connection.ts";
import { createEventPublisher } from "../src/events.ts";
import { readEvents } from "../src/read-events.ts";
import { openSessions } from "../src/sessions.ts";
import { call, callEvent } from "./connected.ts";
import { useOwnNats } from "./own-nats.ts";

const nats = useOwnNats();
const RESTART_TIMEOUT_MS = 25_000;
let opened: Bus[] = [];
let ending = new AbortController();

afterEach(async () => {
  ending.abort();
  ending = new AbortController();
  await Promise.all(opened.map((bus) => bus.drain().catch(() => {})));
  opened = [];
});

async function connect(changes: Partial<Parameters<typeof connectBus>[0]> = {}): Promise<Bus> {
  const options = { url: nats.url, name: "test", prefix: "", log: testLog, signal: ending.signal, ...changes };
  const bus = await connectBus(options);
  opened.push(bus);
  return bus;
}

describe("connecting", () => {
  it("with a wrong password is refused at once, and says nothing of the password", async () => {
    const said: unknown[] = [];
    const note = (fields: object, message: string): void => void said.push(fields, message);
    const log: BusLog = { info: note, warn: note, error: note };
    const url = new URL(nats.url);
    url.password = "not-the-password";
    const started = performance.now();
    const error = await connect({ url: url.toString(), log }).catch((thrown: unknown) => thrown);
    expect(performance.now() - started).toBeLessThan(15_000);
    expect(error).toBeInstanceOf(AppError);
    expect(error).toMatchObject({
      code: "unauthenticated",
      message: `NATS at ${url.host} does not take this user and password`,
    });
    expect(inspect([error, said], { depth: 10 })).not.toContain("not-the-password");
  });

  it("with something that is no URL says nothing of it", async () => {
    const error = await connect({ url: "nats://tollgate:se cret-password@[" }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "invalid_argument" });
    expect(inspect(error, { depth: 10 })).not.toContain("cret-password");
  });

  it("waits for a server that is still starting, and stops waiting when the service stops", async () => {
    await nats.kill();
    const reasons: string[] = [];
    const log: BusLog = { info: (_fields, message) => void reasons.push(message), warn: () => {}, error: () => {} };
    const connecting = connect({ log });
    await eventually(() => expect(reasons.filter((each) => each === "waiting for NATS").length).toBeGreaterThan(1));
    await nats.start();
    expect((await connecting).problem()).toBeUndefined();
    await nats.kill();
    const waiting = connect({ log }).catch((thrown: unknown) => thrown as AppError);
    reasons.length = 0;
    await eventually(() => expect(reasons).toContain("waiting for NATS"));
    const stopped = performance.now();
    ending.abort();
    expect(await waiting).toMatchObject({ code: "unavailable" });
    expect(performance.now() - stopped).toBeLessThan(5_000);
    await nats.start();
  });

  it("makes the streams once, however many services start at the same time", async () => {
    const prefix = `p${randomBytes(3).toString("hex")}`;
    const buses = await Promise.all([1, 2, 3, 4].map(() => connect({ prefix })));
    for (const name of Object.values(buses[0]!.subjects.streams)) {
      expect((await buses[0]!.jsm.streams.info(name)).config.name).toBe(name);
      await buses[0]!.jsm.streams.delete(name);
    }
  });
});

describe("a NATS server that is killed and started again", () => {
  it("loses nothing that it acknowledged, and everything goes on by itself", async () => {
    const [gateway, runner, store] = [await connect(), await connect(), await connect()];
    const calls = createCallPublisher(gateway, { waitingMax: 10_000, timeoutMs: RESTART_TIMEOUT_MS });
    const events = createEventPublisher(runner, { waitingMax: 10_000, timeoutMs: RESTART_TIMEOUT_MS });
    const sessions = await openSessions<{ n: number }>(gateway, ending.signal);
    const elsewhere = await openSessions<{ n: number }>(runner, ending.signal);
    await sessions.put("s-1", { n: 1 });

    const taken = new Set<string>();
    const stored = new Set<string>();
    const outcomes: Promise<unknown>[] = [];
    const consumer = await consumeCalls(runner, "demo", (delivery) => {
      for (const { envelope } of delivery.calls) {
        taken.add(envelope.id);
        outcomes.push(events.publish(callEvent({ id: envelope.id })));
      }
      delivery.acknowledge();
    });
    const reading = new AbortController();
    const storing = (async () => {
      const from = { stream: "", sequence: 0 };
      const options = { from, batchMax: 50, batchWaitMs: 10, signal: reading.signal };
      for await (const { events: batch } of readEvents(store, options))
        for (const { event } of batch) stored.add(event.id);
    })();

    const acknowledged = new Set<string>();
    const failed: unknown[] = [];
    const stopping = new AbortController();
    const publishing = (async () => {
      const under: Promise<void>[] = [];
      while (!stopping.signal.aborted) {
        const each = call();
        under.push(
          calls.publish({ group: "demo", lane: "standard", tenant: "acme" }, each).then(
            () => void acknowledged.add(each.envelope.id),
            (error: unknown) => void failed.push(error),
          ),
        );
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await Promise.all(under);
    })();

    await eventually(() => expect(stored.size).toBeGreaterThan(100));
    const killedAt = Date.now();
    await nats.kill();
    await eventually(() => expect(gateway.problem()).toBe("disconnected from NATS"));
    expect(gateway.reconnectedAt()).toBe(0);
    await nats.start();
    const startedAt = Date.now();
    const before = { acknowledged: acknowledged.size, stored: stored.size };
    await eventually(
      () => {
        for (const bus of [gateway, runner, store]) {
          expect(bus.problem()).toBeUndefined();
          expect(bus.reconnectedAt()).toBeGreaterThanOrEqual(killedAt);
        }
        expect(acknowledged.size).toBeGreaterThan(before.acknowledged + 100);
        expect(stored.size).toBeGreaterThan(before.stored + 100);
      },
      { timeoutMs: RESTART_TIMEOUT_MS },
    );
    // Consumers do not sit out a long pause of the library's before they ask again.
    expect(Date.now() - startedAt).toBeLessThan(12_000);
    stopping.abort();
    await publishing;
    expect(failed).toEqual([]);

    await eventually(() => expect(missing(acknowledged, taken)).toEqual([]), { timeoutMs: RESTART_TIMEOUT_MS });
    await Promise.all(outcomes);
    await eventually(() => expect(missing(taken, stored)).toEqual([]), { timeoutMs: RESTART_TIMEOUT_MS });
    await consumer.stop();
    reading.abort();
    await storing;

    expect(await elsewhere.get("s-1")).toEqual({ n: 1 });
    await elsewhere.delete("s-1");
    await eventually(async () => expect(await sessions.get("s-1")).toBeUndefined());
  }, 90_000);

  it("does not keep a service from stopping while it is away", async () => {
    const bus = await connect();
    const consumer = await consumeCalls(bus, "demo", () => {});
    await nats.kill();
    await eventually(() => expect(bus.problem()).toBe("disconnected from NATS"));
    const started = performance.now();
    await consumer.stop();
    await bus.drain();
    expect(performance.now() - started).toBeLessThan(2_000);
    expect(bus.problem()).toBe("the NATS connection is closed");
    await nats.start();
  });
});

function missing(wanted: ReadonlySet<string>, found: ReadonlySet<string>): string[] {
  return [...wanted].filter((id) => !found.has(id));
}
