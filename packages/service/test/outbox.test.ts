import { type AuditEvent, changeEvent } from "@tollgate/contracts";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openLife } from "../src/life.ts";
import { createMetrics } from "../src/metrics.ts";
import { enqueueEvents, keepOutbox } from "../src/outbox.ts";
import { openPool, type Pool, withTransaction } from "../src/postgres.ts";

const infra = useInfrastructure();
let life = openLife(testLog);
let pool: Pool;

/** An event that these tests know by its name. */
function note(name: string): AuditEvent {
  const change = { change: "created", resource: "role", name, tenant: "acme", principal: "admin" } as const;
  return changeEvent(change, Date.now());
}
const nameOf = (event: AuditEvent): string => (event.kind === "change" ? event.name : "");

beforeAll(async () => {
  const own = openLife(testLog);
  const admin = await openPool({ url: infra.databaseUrl("policy"), max: 1, name: "test", life: own, log: testLog });
  await admin.query(`CREATE TABLE policy.outbox (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event text NOT NULL, created_at timestamptz NOT NULL DEFAULT now())`);
  await own.close();
});
beforeEach(async () => {
  life = openLife(testLog);
  pool = await openPool({ url: infra.databaseUrl("policy"), max: 4, name: "test", life, log: testLog });
});
afterEach(() => life.close());

const enqueue = (notes: readonly AuditEvent[]) =>
  withTransaction(pool, (client) => enqueueEvents(client, "policy", notes));

/** One replica. Its own life ends before the test's. */
function keep(publish: (name: string) => Promise<void>) {
  const own = openLife(testLog);
  const metrics = createMetrics();
  const events = { publish: (event: AuditEvent) => publish(nameOf(event)) };
  keepOutbox({ pool, schema: "policy", events, metrics, life: own, log: testLog });
  return { close: () => own.close(), metrics };
}

async function countWaiting(): Promise<number> {
  const { rows } = await pool.query<{ count: number }>("SELECT count(*)::integer AS count FROM policy.outbox");
  return rows[0]!.count;
}

describe("an outbox", () => {
  it("publishes in order what was committed, each once, and nothing of what was undone", async () => {
    const published: string[] = [];
    const undone = withTransaction(pool, async (client) => {
      await enqueueEvents(client, "policy", [note("undone")]);
      throw new Error("undone");
    });
    await expect(undone).rejects.toThrow("undone");
    for (let at = 0; at < 500; at += 50)
      await enqueue(Array.from({ length: 50 }, (_, index) => note(String(at + index))));
    // Two at once, as replicas are.
    const replicas = [1, 2].map(() => keep(async (name) => void published.push(name)));
    await eventually(async () => expect(await countWaiting()).toBe(0));
    await Promise.all(replicas.map((each) => each.close()));
    expect(published).toEqual(Array.from({ length: 500 }, (_, index) => String(index)));
  });

  it("tries again for as long as the stream does not take one, without going past it, and says how many wait", async () => {
    const published: string[] = [];
    let refused = 0;
    let isAway = true;
    await enqueue([note("1"), note("2"), note("3")]);
    const replica = keep(async (name) => {
      if (name === "2" && isAway) {
        refused += 1;
        throw new Error("the stream is away");
      }
      published.push(name);
    });
    await eventually(() => expect(refused).toBeGreaterThan(1));
    expect(published).toEqual(["1"]);
    expect(await countWaiting()).toBe(2);
    expect(await replica.metrics.registry.metrics()).toContain("tollgate_policy_outbox_events 2");
    isAway = false;
    await eventually(async () => expect(await countWaiting()).toBe(0));
    await eventually(async () =>
      expect(await replica.metrics.registry.metrics()).toContain("tollgate_policy_outbox_events 0"),
    );
    await replica.close();
    expect(published).toEqual(["1", "2", "3"]);
  });

  it("publishes again what it had published when its connection was lost before it could say so", async () => {
    const published: string[] = [];
    await enqueue([note("1")]);
    const replica = keep(async (name) => {
      published.push(name);
      if (published.length === 1)
        await pool.query("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'");
    });
    await eventually(async () => expect(await countWaiting()).toBe(0));
    await replica.close();
    expect(published).toEqual(["1", "1"]);
  });

  it("takes nothing that the stream would not", async () => {
    const wrong = { ...note("1"), tenant: "No Name" };
    await expect(enqueue([wrong])).rejects.toMatchObject({ code: "internal" });
    expect(await countWaiting()).toBe(0);
  });
});
