import { eventually, useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { adoptCalls } from "../src/adoption.ts";
import { consumeBoundCalls, consumeCalls, createCallPublisher, type Delivery } from "../src/calls.ts";
import type { Bus } from "../src/connection.ts";
import { call, useBus } from "./connected.ts";

const ADOPTED_WITHIN_MS = 15_000;

const connect = useBus(useInfrastructure());
const ending = new AbortController();
const consumers: { stop(): Promise<void> }[] = [];
let bus: Bus;
let group: string;
let groups = 0;

beforeAll(async () => {
  bus = await connect();
});
beforeEach(() => (group = `bound-${(groups += 1)}`));
afterEach(async () => {
  await Promise.all(consumers.splice(0).map((each) => each.stop()));
  await bus.jsm.streams.purge(bus.subjects.streams.calls);
});

interface Taken {
  readonly id: string;
  readonly count: number;
}

/** What comes to a consumer; each delivery is acknowledged unless `keep` says otherwise. */
async function take(
  open: (onDelivery: (delivery: Delivery) => void) => { stop(): Promise<void> } | Promise<{ stop(): Promise<void> }>,
  keep = false,
): Promise<Taken[]> {
  const taken: Taken[] = [];
  const consumer = await open((delivery) => {
    for (const { envelope } of delivery.calls) taken.push({ id: envelope.id, count: delivery.deliveryCount });
    if (!keep) delivery.acknowledge();
  });
  consumers.push(consumer);
  return taken;
}

const bound = (over: Bus, runner: string, keep = false) =>
  take((onDelivery) => consumeBoundCalls(over, { group, runner }, onDelivery), keep);
const shared = (over: Bus) => take((onDelivery) => consumeCalls(over, group, onDelivery));
const adopting = (over: Bus, runner: string, of = group) =>
  take((onDelivery) => adoptCalls(over, { group: of, runner, signal: ending.signal }, onDelivery));
const idsOf = (taken: readonly Taken[]) => taken.map(({ id }) => id);

async function publish(runner?: string): Promise<string> {
  const given = call();
  const publisher = createCallPublisher(bus, { waitingMax: 100, timeoutMs: 5_000 });
  await publisher.publish({ group, lane: "interactive", tenant: "acme", runner }, given);
  return given.envelope.id;
}

const waitingOnStream = async () => (await bus.jsm.streams.info(bus.subjects.streams.calls)).state.messages;

/** A connection of which nothing more comes, as a process's that was killed. */
async function die(dying: Bus): Promise<void> {
  await dying.connection.close();
  consumers.splice(0);
}

describe("calls bound to a runner", () => {
  it("come to that runner, and to no other of the group; all others come to any", async () => {
    const [one, two] = [await connect(), await connect()];
    const [toOne, toTwo, toAny] = [await bound(one, "r-1"), await bound(two, "r-2"), await shared(two)];
    const [first, second, third] = [await publish("r-1"), await publish("r-2"), await publish()];
    await eventually(() => expect([toOne, toTwo, toAny].map(idsOf)).toEqual([[first], [second], [third]]));
    await eventually(async () => expect(await waitingOnStream()).toBe(0));
  });

  it("wait for a runner that begins later", async () => {
    const id = await publish("r-late");
    const taken = await bound(bus, "r-late");
    await eventually(() => expect(idsOf(taken)).toEqual([id]));
    await eventually(async () => expect(await waitingOnStream()).toBe(0));
  });
});

describe("calls of a runner that is gone", () => {
  it("are taken by another of its group within seconds, those that it had already taken as repeated", async () => {
    const dying = await connect();
    const had = await bound(dying, "r-gone", true);
    const [taken, adopter] = [await publish("r-gone"), await connect()];
    await eventually(() => expect(idsOf(had)).toEqual([taken]));
    await die(dying);
    // From when the server knows that nobody asks any more: until then it may send to nobody.
    const { streams, runnerDurable } = bus.subjects;
    await eventually(async () =>
      expect((await bus.jsm.consumers.info(streams.calls, runnerDurable(group, "r-gone"))).num_waiting).toBe(0),
    );
    const left = await publish("r-gone");
    const adopted = await adopting(adopter, "r-heir");
    await eventually(() => expect(new Set(idsOf(adopted))).toEqual(new Set([taken, left])), {
      timeoutMs: ADOPTED_WITHIN_MS,
    });
    const counts = new Map(adopted.map(({ id, count }) => [id, count]));
    expect(counts.get(left)).toBe(1);
    expect(counts.get(taken)).toBeGreaterThan(1);
    await eventually(async () => expect(await waitingOnStream()).toBe(0));
    // Calls that come for it later find the heir as well: it is nobody's twice.
    const later = await publish("r-gone");
    await eventually(() => expect(idsOf(adopted)).toContain(later), { timeoutMs: ADOPTED_WITHIN_MS });
    expect(idsOf(adopted)).toHaveLength(3);
  }, 60_000);

  it("are each taken once, however many would take them", async () => {
    const adopted = [await adopting(await connect(), "r-a"), await adopting(await connect(), "r-b")];
    const given = await Promise.all(Array.from({ length: 20 }, () => publish("r-never")));
    await eventually(() => expect(adopted.flat()).toHaveLength(20), { timeoutMs: ADOPTED_WITHIN_MS });
    expect(new Set(adopted.flatMap(idsOf))).toEqual(new Set(given));
    await eventually(async () => expect(await waitingOnStream()).toBe(0));
    expect(adopted.flat()).toHaveLength(20);
  }, 60_000);

  it("are left alone by runners of other groups; and so is what its owner, who lives, has not finished", async () => {
    const [owner, other, elsewhere] = [await connect(), await connect(), await connect()];
    const held: Delivery[] = [];
    consumers.push(await consumeBoundCalls(owner, { group, runner: "r-alive" }, (delivery) => held.push(delivery)));
    const extending = setInterval(() => held.forEach((each) => each.extend()), 1_000);
    const adopted = await adopting(other, "r-other");
    const foreign = await adopting(elsewhere, "r-foreign", `${group}-other`);
    await publish("r-alive");
    await eventually(() => expect(held).toHaveLength(1));
    const orphan = await publish("r-orphan");
    // The adopter has looked as often as it takes to call somebody gone: it has taken what is nobody's.
    await eventually(() => expect(idsOf(adopted)).toEqual([orphan]), { timeoutMs: ADOPTED_WITHIN_MS });
    await publish("r-orphan-2");
    await eventually(() => expect(adopted).toHaveLength(2), { timeoutMs: ADOPTED_WITHIN_MS });
    // Had it taken the living one's place, it would have its share of what comes now.
    for (let at = 0; at < 20; at++) await publish("r-alive");
    await eventually(() => expect(held).toHaveLength(21));
    expect(held.map(({ deliveryCount }) => deliveryCount)).toEqual(Array(21).fill(1));
    expect(adopted).toHaveLength(2);
    expect(foreign).toEqual([]);
    clearInterval(extending);
    for (const each of held) each.acknowledge();
  }, 60_000);
});
