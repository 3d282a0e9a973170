import type { CallEnvelope } from "@tollgate/contracts";
import { AckPolicy } from "@nats-io/jetstream";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type CallConsumer,
  consumeCalls,
  createCallPublisher,
  type Delivery,
  EXTEND_INTERVAL_MS,
  publishCancel,
  SILENCE_MAX_MS,
  subscribeCancels,
} from "../src/calls.ts";
import type { Bus } from "../src/connection.ts";
import type { Framed } from "../src/framing.ts";
import { call, useBus } from "./connected.ts";

const connect = useBus(useInfrastructure());
let bus: Bus;
let runner: Bus;
const consumers: CallConsumer[] = [];
let group: string;
let groups = 0;

beforeAll(async () => {
  bus = await connect();
  runner = await connect();
});
beforeEach(() => (group = `group-${(groups += 1)}`));
afterEach(async () => {
  await Promise.all(consumers.splice(0).map((each) => each.stop()));
  await bus.jsm.streams.purge(bus.subjects.streams.calls);
});

async function consume(onDelivery: (delivery: Delivery) => void, over = runner): Promise<CallConsumer> {
  const consumer = await consumeCalls(over, group, onDelivery);
  consumers.push(consumer);
  return consumer;
}

const publisher = (waitingMax = 1_000) => createCallPublisher(bus, { waitingMax, timeoutMs: 5_000 });
const route = (lane: "interactive" | "standard" | "batch" = "standard", tenant = "acme") => ({ group, lane, tenant });
const idsOf = (calls: readonly Framed<CallEnvelope>[]) => calls.map(({ envelope }) => envelope.id);

async function waitingOnStream(): Promise<number> {
  return (await bus.jsm.streams.info(bus.subjects.streams.calls)).state.messages;
}

async function deadLetters(): Promise<{ subject: string; reason: string; data: string }[]> {
  const { dead } = bus.subjects.streams;
  const { state } = await bus.jsm.streams.info(dead);
  const letters = [];
  for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
    const message = await bus.jsm.streams.getMessage(dead, { seq });
    if (message) letters.push(message.json<{ subject: string; reason: string; data: string }>());
  }
  return letters;
}

describe("calls", () => {
  it("are taken where another release has left a consumer with other settings, which become the newest", async () => {
    const { streams, runnersDurable, callsOfGroup } = bus.subjects;
    const durable = runnersDurable(group);
    const old = { durable_name: durable, ack_policy: AckPolicy.Explicit, max_ack_pending: 7 };
    await bus.jsm.consumers.add(streams.calls, { ...old, filter_subjects: callsOfGroup(group) });
    const taken: string[] = [];
    await consume((delivery) => (taken.push(...idsOf(delivery.calls)), delivery.acknowledge()));
    const given = call();
    await publisher().publish(route(), given);
    await eventually(() => expect(taken).toEqual([given.envelope.id]));
    const { config } = await bus.jsm.consumers.info(streams.calls, durable);
    expect(config.max_ack_pending).toBeGreaterThan(1_000);
  });

  it("travel many in a message when many are ready, and arrive whole and in order", async () => {
    const taken: Delivery[] = [];
    await consume((delivery) => (taken.push(delivery), delivery.acknowledge()));
    const given = Array.from({ length: 500 }, (_, at) => call({ tool: `tool-${at}` }));
    const publish = publisher();
    await Promise.all(given.map((each) => publish.publish(route(), each)));
    await eventually(() => expect(taken.flatMap(({ calls }) => calls)).toHaveLength(500));
    // Messages of one batch at a time are in order; several batches are under way at once.
    const arrived = taken.flatMap(({ calls }) => calls);
    expect(new Map(arrived.map((each) => [each.envelope.id, each]))).toEqual(
      new Map(given.map((each) => [each.envelope.id, each])),
    );
    expect(taken.length).toBeLessThan(50);
    for (const { calls, deliveryCount } of taken) {
      expect(idsOf(calls)).toEqual(idsOf(calls).toSorted());
      expect(deliveryCount).toBe(1);
    }
    await eventually(async () => expect(await waitingOnStream()).toBe(0));
  });

  it("of different tenants and lanes never share a message", async () => {
    const taken: Delivery[] = [];
    await consume((delivery) => (taken.push(delivery), delivery.acknowledge()));
    const publish = publisher();
    const tenants = ["acme", "globex"];
    await Promise.all(
      Array.from({ length: 60 }, (_, at) => {
        const tenant = tenants[at % 2]!;
        return publish.publish(
          route((["interactive", "standard", "batch"] as const)[at % 3], tenant),
          call({ tenant }),
        );
      }),
    );
    await eventually(() => expect(taken.flatMap(({ calls }) => calls)).toHaveLength(60));
    for (const { calls } of taken) expect(new Set(calls.map(({ envelope }) => envelope.facts.tenant)).size).toBe(1);
  });

  it("are refused at once when too many wait, and only then", async () => {
    const publish = publisher(10);
    const outcomes = await Promise.allSettled(Array.from({ length: 15 }, () => publish.publish(route(), call())));
    const refused = outcomes.filter((each) => each.status === "rejected");
    expect(refused).toHaveLength(5);
    for (const { reason } of refused) expect(reason).toMatchObject({ code: "overloaded" });
    await expect(publish.publish(route(), call())).resolves.toBeUndefined();
  });

  it.each(["a.b", "*", ">", "", "a b"])("are not published for a group or tenant %j", (name) => {
    expect(() => publisher().publish({ group: name, lane: "standard", tenant: "acme" }, call())).toThrow("subject");
    expect(() => publisher().publish({ group, lane: "standard", tenant: name }, call())).toThrow("subject");
  });

  it("are shared by two runners: each call is taken by exactly one", async () => {
    const taken: string[][] = [[], []];
    const other = await connect();
    await consume((delivery) => (taken[0]!.push(...idsOf(delivery.calls)), delivery.acknowledge()));
    await consume((delivery) => (taken[1]!.push(...idsOf(delivery.calls)), delivery.acknowledge()), other);
    const publish = publisher();
    const given = Array.from({ length: 200 }, () => call());
    // One by one, so that there are messages to share.
    for (const each of given) await publish.publish(route(), each);
    await eventually(() => expect(taken.flat()).toHaveLength(200));
    expect(new Set(taken.flat())).toEqual(new Set(idsOf(given)));
    for (const each of taken) expect(each.length).toBeGreaterThan(0);
  });

  it("of another group are left to it", async () => {
    const taken: string[] = [];
    await consume((delivery) => (taken.push(...idsOf(delivery.calls)), delivery.acknowledge()));
    const publish = publisher();
    await publish.publish({ ...route(), group: `${group}-other` }, call());
    const mine = call();
    await publish.publish(route(), mine);
    await eventually(() => expect(taken).toEqual([mine.envelope.id]));
  });

  it("say when the stream took them", async () => {
    const taken: Delivery[] = [];
    await consume((delivery) => (taken.push(delivery), delivery.acknowledge()));
    const before = Date.now();
    await publisher().publish(route(), call());
    await eventually(() => expect(taken).toHaveLength(1));
    expect(taken[0]!.storedAt).toBeGreaterThanOrEqual(before - 5);
    expect(taken[0]!.storedAt).toBeLessThanOrEqual(Date.now() + 5);
  });
});

describe("a runner", () => {
  it("that falls silent loses its calls to another; one that goes on saying so keeps them", async () => {
    const silent: Delivery[] = [];
    const kept: Delivery[] = [];
    let begun = 0;
    const takes: Delivery[][] = [silent, kept];
    await consume((delivery) => void takes[begun++]?.push(delivery));
    const publish = publisher();
    const [first, second] = [call(), call()];
    await publish.publish(route(), first);
    await eventually(() => expect(silent).toHaveLength(1));
    await publish.publish(route(), second);
    await eventually(() => expect(kept).toHaveLength(1));
    const extending = setInterval(() => kept[0]!.extend(), EXTEND_INTERVAL_MS);
    const again: Delivery[] = [];
    const other = await connect();
    const started = performance.now();
    // The first runner has room for more as well, and does nothing with what comes.
    await consumers.pop()!.stop();
    await consume((delivery) => void again.push(delivery), other);
    await eventually(() => expect(again.map(({ calls }) => idsOf(calls))).toEqual([[first.envelope.id]]), {
      timeoutMs: 20_000,
    });
    expect(performance.now() - started).toBeGreaterThan(SILENCE_MAX_MS - 2_000);
    expect(again[0]!.deliveryCount).toBe(2);
    again[0]!.acknowledge();
    kept[0]!.acknowledge();
    clearInterval(extending);
    await eventually(async () => expect(await waitingOnStream()).toBe(0));
    expect(again).toHaveLength(1);
  });

  it("that stops in the middle of a flood has taken what was on its way to it", async () => {
    const stops = 10;
    const taken = new Map<string, number>();
    const take = (delivery: Delivery): void => {
      for (const id of idsOf(delivery.calls)) taken.set(id, Math.max(taken.get(id) ?? 0, delivery.deliveryCount));
      delivery.acknowledge();
    };
    const publish = publisher(10_000);
    const given: string[] = [];
    const flooding = new AbortController();
    const flood = (async () => {
      while (!flooding.signal.aborted) {
        const each = call();
        given.push(each.envelope.id);
        await publish.publish(route("interactive", `t-${given.length % 50}`), each);
      }
    })();
    for (let round = 0; round < stops; round++) {
      const before = taken.size;
      const consumer = await consumeCalls(runner, group, take);
      await eventually(() => expect(taken.size).toBeGreaterThan(before + 20));
      await consumer.stop();
    }
    flooding.abort();
    await flood;
    await consume(take, await connect());
    await eventually(() => expect(taken.size).toBe(given.length), { timeoutMs: 20_000 });
    // A second delivery of a call that may not run twice ends it as unknown. Stopping without draining costs about one
    // for each stop; now and then the server itself still has one on its way, which nobody here can see.
    const again = [...taken.values()].filter((deliveries) => deliveries > 1);
    expect(again.length).toBeLessThan(stops / 3);
  });

  it("that cannot take one message goes on with the next", async () => {
    const taken: string[] = [];
    let failed = 0;
    await consume((delivery) => {
      if (delivery.calls[0]!.envelope.facts.tool === "broken") {
        failed += 1;
        throw new Error("not prepared for this");
      }
      taken.push(...idsOf(delivery.calls));
      delivery.acknowledge();
    });
    const publish = publisher();
    await publish.publish(route(), call({ tool: "broken" }));
    await eventually(() => expect(failed).toBe(1));
    const next = call();
    await publish.publish(route(), next);
    await eventually(() => expect(taken).toEqual([next.envelope.id]));
  });

  it("hears that a client has cancelled a call, and only of its group's", async () => {
    const cancelled: string[] = [];
    subscribeCancels(runner, group, (id) => void cancelled.push(id));
    await runner.connection.flush();
    publishCancel(bus, `${group}-other`, "c-0");
    publishCancel(bus, group, "c-1");
    await eventually(() => expect(cancelled).toEqual(["c-1"]));
  });
});

describe("a message that no gateway wrote", () => {
  const good = call();
  const framed = (envelope: unknown) => `${JSON.stringify(envelope)}\n{}\n`;

  it.each([
    ["is empty", ""],
    ["is no text of frames", "hello"],
    ["is cut off", `${JSON.stringify(good.envelope)}\n{"jsonrpc":"2.0"`],
    ["has an envelope that is null", "null\n{}\n"],
    ["has an envelope without facts", framed({ ...good.envelope, facts: undefined })],
    ["has an envelope without a deadline", framed({ ...good.envelope, deadline: "soon" })],
    ["has an id of its own making", framed({ ...good.envelope, id: "c-1" })],
    ["has facts without a tenant", framed({ ...good.envelope, facts: { ...good.envelope.facts, tenant: 7 } })],
    ["is bytes that are no text", Buffer.from([0xff, 0xfe, 0x00, 0x0a])],
    ["is as large as a message can be", "\0".repeat(8 * 1024 * 1024 - 1_000)],
  ])("and that %s is put aside with its reason, once, and the next is taken", async (_what, payload) => {
    await bus.jsm.streams.purge(bus.subjects.streams.dead);
    const taken: string[] = [];
    await consume((delivery) => (taken.push(...idsOf(delivery.calls)), delivery.acknowledge()));
    const subject = bus.subjects.call(group, "standard", "acme");
    await bus.js.publish(subject, payload);
    const next = call();
    await publisher().publish(route(), next);
    await eventually(() => expect(taken).toEqual([next.envelope.id]));
    const letters = await eventually(async () => {
      const found = await deadLetters();
      expect(found).toHaveLength(1);
      return found;
    });
    expect(letters[0]).toMatchObject({ subject, reason: expect.stringMatching(/.+/) });
    if (typeof payload === "string") expect(payload.startsWith(letters[0]!.data)).toBe(true);
    await eventually(async () => expect(await waitingOnStream()).toBe(0));
  });
});
