import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Life, openLife } from "@tollgate/service";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterEach, beforeEach, expect, test } from "vitest";
import { watchAs } from "./gateway.ts";
import { openWay, startPolicyProcess } from "./policy-process.ts";

const infra = useInfrastructure();
const NEWEST = 2n ** 63n;
let life: Life;
let folder: string;
let count = 0;

beforeEach(async () => {
  life = openLife(testLog);
  folder = await mkdtemp(join(tmpdir(), "tollgate-replicas-"));
  await sql("DROP SCHEMA IF EXISTS policy CASCADE; CREATE SCHEMA policy AUTHORIZATION tollgate_policy");
});
afterEach(async () => {
  await life.close();
  await rm(folder, { recursive: true });
});

async function sql<Row>(text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: infra.adminUrl });
  await client.connect();
  try {
    return (await client.query(text)).rows as Row[];
  } finally {
    await client.end();
  }
}

const start = (options: { databaseUrl?: string; grpcPort?: number } = {}) =>
  startPolicyProcess(infra, { folder, databaseUrl: infra.databaseUrl("policy"), life, ...options });
type Replica = Awaited<ReturnType<typeof start>>;

const change = (replica: Replica): Promise<bigint> => replica.change(`p${(count += 1)}`);

/** A gateway of this replica, with a lease. */
async function watching(replica: Replica) {
  const gateway = watchAs(replica, "gateway");
  await eventually(() => expect(gateway.leaseLeftMs(NEWEST)).toBeGreaterThan(0));
  return gateway;
}

type Gateway = Awaited<ReturnType<typeof watching>>;

/** What it held is dropped with the revision, and ends with the lease. */
const mayActOnOlder = (gateway: Gateway, revision: bigint): boolean =>
  gateway.revision()! < revision && gateway.leaseLeftMs(revision) > 0;

/** Waits until only so many say that they are there. */
const untilThereAre = (replicas: number) =>
  eventually(async () => expect(await sql("SELECT id FROM policy.replicas")).toHaveLength(replicas));

/** Waits until each knows that it is not alone. */
const untilNobodyIsAlone = () =>
  eventually(async () => expect(await sql("SELECT id FROM policy.replicas WHERE grants_ms > 2000")).toEqual([]));

test("a change returns when the gateways of every replica have taken it, without waiting for a lease to end", async () => {
  const replicas = await Promise.all([start(), start(), start()]);
  const gateways = await Promise.all(replicas.map(watching));
  await untilNobodyIsAlone();
  for (let round = 0; round < 10; round += 1) {
    for (const replica of replicas) {
      const revision = await change(replica);
      for (const gateway of gateways) {
        expect(gateway.revision()).toBeGreaterThanOrEqual(revision);
        expect(gateway.leaseLeftMs(NEWEST)).toBeGreaterThan(0);
      }
    }
  }
});

test("changes at all replicas at once have revisions of their own and all return", async () => {
  const replicas = await Promise.all([start(), start()]);
  const gateways = await Promise.all(replicas.map(watching));
  const revisions = await Promise.all(
    Array.from({ length: 20 }, async (_each, n) => {
      const revision = await change(replicas[n % 2]!);
      for (const gateway of gateways) expect(mayActOnOlder(gateway, revision)).toBe(false);
      return revision;
    }),
  );
  expect(new Set(revisions).size).toBe(20);
});

test("a change waits for the lease of another replica's gateway that does not answer", async () => {
  const [one, other] = [await start(), await start()];
  const hung = await watching(other);
  hung.stopAnswering();
  expect(mayActOnOlder(hung, await change(one))).toBe(false);
});

test("a replica that was killed holds a change up as long as its gateways may go on, and then no more", async () => {
  const [one, other] = [await start(), await start()];
  const gateway = await watching(other);
  await other.stop("SIGKILL");
  expect(mayActOnOlder(gateway, await change(one))).toBe(false);
  await untilThereAre(1);
});

test("a replica that stopped in order holds a change up only as long as its last leases", async () => {
  const [one, other] = [await start(), await start()];
  const gateway = await watching(other);
  await untilNobodyIsAlone();
  await other.stop("SIGTERM");
  expect(mayActOnOlder(gateway, await change(one))).toBe(false);
  await untilThereAre(1);
});

test("one that follows on a killed one at its address need not wait as if that could still be there", async () => {
  const first = await start();
  const gateway = await watching(first);
  await eventually(async () =>
    expect(await sql("SELECT id FROM policy.replicas WHERE grants_ms > 2000")).toHaveLength(1),
  );
  await first.stop("SIGKILL");
  const second = await start({ grpcPort: first.grpcPort });
  expect(mayActOnOlder(gateway, await change(second))).toBe(false);
});

test("a replica that was suspended gives no lease on what was changed meanwhile", async () => {
  const [one, other] = [await start(), await start()];
  const gateway = await watching(other);
  await untilNobodyIsAlone();
  other.suspend();
  const revision = await change(one);
  expect(mayActOnOlder(gateway, revision)).toBe(false);
  other.resume();
  await eventually(() => {
    expect(mayActOnOlder(gateway, revision)).toBe(false);
    expect(gateway.revision()).toBe(revision);
  });
  await eventually(() => expect(gateway.leaseLeftMs(NEWEST)).toBeGreaterThan(0));
});

test("a replica that is cut off from the database gives no more leases, until it has caught up", async () => {
  const way = await openWay(infra, life);
  const [one, other] = [await start(), await start({ databaseUrl: way.url })];
  const gateway = await watching(other);
  await untilNobodyIsAlone();
  way.cut();
  const revision = await change(one);
  expect(mayActOnOlder(gateway, revision)).toBe(false);
  expect(gateway.revision()).toBeLessThan(revision);
  way.mend();
  await eventually(() => expect(gateway.revision()).toBe(revision));
  await eventually(() => expect(gateway.leaseLeftMs(NEWEST)).toBeGreaterThan(0));
});

test("one that is alone goes on without its database, and a newcomer's change does not return as long as it may", async () => {
  const way = await openWay(infra, life);
  const first = await start({ databaseUrl: way.url });
  const gateway = await watching(first);
  await eventually(async () =>
    expect(await sql("SELECT id FROM policy.replicas WHERE grants_ms > 2000")).toHaveLength(1),
  );
  way.cut();
  const second = await start();
  const changing = change(second);
  await expect(changing).rejects.toThrow(/the change is made, but policy at .* may still decide by what was before/);
  expect(gateway.leaseLeftMs(NEWEST)).toBeGreaterThan(0);
  way.mend();
  const revision = await eventually(() => change(second));
  expect(mayActOnOlder(gateway, revision)).toBe(false);
  expect(gateway.revision()).toBeGreaterThanOrEqual(revision);
});
