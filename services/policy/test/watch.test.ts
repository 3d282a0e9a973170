import { eventually, useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { LEASE_MS } from "../src/domain/leases.ts";
import { watchAs } from "./gateway.ts";
import { runPolicy, type RunningPolicy } from "./running-policy.ts";

const infra = useInfrastructure();
let policy: RunningPolicy;
let count = 0;

const NEWEST = 2n ** 63n;

beforeEach(async () => {
  policy = await runPolicy(infra);
});
afterEach(() => policy.close());

/** Any change. Resolves to the revision from which on it holds. */
async function change(): Promise<bigint> {
  count += 1;
  return (await policy.putPolicy({ id: `p${count}` })).revision;
}

/** Waits until leases of the service's start are over, so that a change waits only for who is watching. */
async function settle(): Promise<bigint> {
  return change();
}

describe("the lease", () => {
  test("is given at once, and again for as long as the gateway answers", async () => {
    const gateway = watchAs(policy, "g1");
    await eventually(() => expect(gateway.messages.length).toBeGreaterThan(0));
    expect(gateway.messages[0]).toMatchObject({ leaseMs: LEASE_MS, echo: 1n });
    // On a busy machine one may be sent before the answer to the last is there: then it says the same again.
    const renewals = () => new Set(gateway.messages.map(({ echo }) => echo)).size;
    await eventually(() => expect(renewals()).toBeGreaterThan(6));
    await eventually(() => expect(gateway.leaseLeftMs(NEWEST)).toBeGreaterThan(0));
    gateway.leave();
  });

  test("ends for a gateway that does not answer; when it does, it has one again", async () => {
    const gateway = watchAs(policy, "g1", { answers: false });
    await eventually(() => expect(gateway.messages).toHaveLength(3));
    await eventually(() => expect(gateway.leaseLeftMs(NEWEST)).toBeLessThan(0));
    const revision = await settle();
    expect(gateway.messages).toHaveLength(3);
    gateway.answer(gateway.revision()!);
    await eventually(() => expect(gateway.revision()).toBe(revision));
    expect(gateway.leaseLeftMs(NEWEST)).toBeGreaterThan(0);
    gateway.leave();
  });

  test("is refused to whoever has no name or no service key", async () => {
    const nameless = watchAs(policy, "");
    await eventually(() => expect(nameless.problem()).toContain("gateway: has to be 1 to 200 characters long"));
    const stranger = policy.client.watch();
    const told = new Promise((resolve) => stranger.on("error", resolve));
    stranger.write({ gateway: "g", takenRevision: 0n, sequence: 1n, used: [] });
    expect(await told).toMatchObject({ details: "the service key is missing or wrong" });
  });

  test("is counted in the metrics", async () => {
    const gateways = [watchAs(policy, "g1"), watchAs(policy, "g2")];
    await eventually(async () => expect(await policy.metrics()).toContain("tollgate_policy_watchers 2"));
    for (const gateway of gateways) gateway.leave();
    await eventually(async () => expect(await policy.metrics()).toContain("tollgate_policy_watchers 0"));
  });
});

describe("a change returns", () => {
  test("when each gateway has taken it, well before a lease could run out", async () => {
    await settle();
    const gateways = [watchAs(policy, "g1"), watchAs(policy, "g2"), watchAs(policy, "g3")];
    await eventually(() => expect(gateways.every(({ messages }) => messages.length > 0)).toBe(true));
    const before = gateways.map(({ messages }) => messages.at(-1)!.revision);
    const revision = await change();
    for (const [index, gateway] of gateways.entries()) {
      expect(gateway.revision()).toBe(revision);
      expect(gateway.leaseLeftMs(NEWEST)).toBeGreaterThan(0);
      expect(revision).toBeGreaterThan(before[index]!);
    }
    for (const gateway of gateways) gateway.leave();
  });

  test("when the lease of a gateway that never acknowledges has run out, and not before", async () => {
    await settle();
    const healthy = watchAs(policy, "healthy");
    const hung = watchAs(policy, "hung");
    await eventually(() => expect(hung.messages.length).toBeGreaterThan(2));
    hung.stopAnswering();
    const revision = await change();
    expect(healthy.revision()).toBe(revision);
    // It was sent the new revision and may not have heeded it: what it had before must have ended.
    expect(hung.leaseLeftMs(revision)).toBeLessThanOrEqual(0);
    healthy.leave();
    hung.leave();
  });

  test("when the lease of a gateway that reads nothing has run out", async () => {
    await settle();
    const stuck = watchAs(policy, "stuck");
    await eventually(() => expect(stuck.messages.length).toBeGreaterThan(1));
    stuck.pause();
    expect(stuck.leaseLeftMs(await change())).toBeLessThanOrEqual(0);
    stuck.leave();
  });

  test("when the lease of a gateway that vanished has run out", async () => {
    await settle();
    const gateway = watchAs(policy, "vanishing");
    await eventually(() => expect(gateway.messages.length).toBeGreaterThan(1));
    gateway.leave();
    await eventually(async () => expect(await policy.metrics()).toContain("tollgate_policy_watchers 0"));
    expect(gateway.leaseLeftMs(await change())).toBeLessThanOrEqual(0);
  });

  test("when leases that an earlier process gave have run out", async () => {
    const gateway = watchAs(policy, "g");
    await eventually(() => expect(gateway.messages.length).toBeGreaterThan(1));
    await policy.close();
    policy = await runPolicy(infra);
    expect(gateway.leaseLeftMs(await change())).toBeLessThanOrEqual(0);
  });

  test("with revisions that only rise, however many changes come at once", async () => {
    const gateway = watchAs(policy, "g");
    const revisions = await Promise.all(Array.from({ length: 20 }, () => change()));
    expect(new Set(revisions).size).toBe(20);
    const highest = revisions.toSorted((one, other) => Number(one - other)).at(-1);
    expect(gateway.revision()).toBe(highest);
    const seen = gateway.messages.map(({ revision }) => revision);
    expect(seen).toEqual(seen.toSorted((one, other) => Number(one - other)));
    gateway.leave();
  });

  test("also when it was made already: who repeats it may have missed the answer", async () => {
    await settle();
    const hung = watchAs(policy, "hung");
    await eventually(() => expect(hung.messages.length).toBeGreaterThan(1));
    hung.stopAnswering();
    const first = policy.putPolicy({ id: "same" });
    await eventually(async () => expect((await policy.listPolicies()).policies.map(({ id }) => id)).toContain("same"));
    const second = await policy.putPolicy({ id: "same" });
    expect(hung.leaseLeftMs(second.revision)).toBeLessThanOrEqual(0);
    expect((await first).revision).toBe(second.revision);
    hung.leave();
  });
});

test("stopping ends the streams and does not wait for them", async () => {
  const gateways = [watchAs(policy, "g1"), watchAs(policy, "g2", { answers: false })];
  await eventually(() => expect(gateways.every(({ messages }) => messages.length > 0)).toBe(true));
  const began = performance.now();
  await policy.service.close();
  expect(performance.now() - began).toBeLessThan(5_000);
});
