import { type Bus, connectBus, endOfEvents, readPastEvents } from "@tollgate/bus";
import { callEvent, eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { lead } from "../src/lead.ts";
import { openLife } from "../src/life.ts";
import { createMetrics } from "../src/metrics.ts";
import { createOps } from "../src/ops.ts";
import { openPool, type Pool } from "../src/postgres.ts";
import { recordEvents } from "../src/record-events.ts";

const infra = useInfrastructure();
let life = openLife(testLog);
let pool: Pool;
let bus: Bus;

beforeEach(async () => {
  life = openLife(testLog);
  const log = testLog;
  pool = await openPool({ url: infra.databaseUrl("audit"), max: 4, name: "test", life, log });
  await pool.query(`DROP TABLE IF EXISTS audit.position;
    CREATE TABLE audit.position (stream text NOT NULL, sequence bigint NOT NULL, published_at timestamptz)`);
  bus = await connectBus({ url: infra.natsUrl, name: "test", prefix: infra.busPrefix, log, signal: life.signal });
  life.onClose("bus", 5_000, () => bus.drain());
});
afterEach(() => life.close());

const publish = (): Promise<unknown> => bus.js.publish(bus.subjects.audit("acme", "call"), JSON.stringify(callEvent()));

/** Records from after this message on; storing fails the first times. */
async function recordAfter(sequence: number, { failures }: { failures: number }): Promise<() => number> {
  const { stream } = await endOfEvents(bus);
  await pool.query("INSERT INTO audit.position VALUES ($1, $2)", [stream, sequence]);
  let tries = 0;
  const store = async (): Promise<number> => {
    tries += 1;
    if (tries <= failures) throw new Error("not now");
    return 0;
  };
  recordEvents({
    bus,
    pool,
    log: testLog,
    name: "audit",
    batchMax: 100,
    batchWaitMs: 20,
    prepare: () => undefined,
    store,
    leadership: lead({ pool, name: "test", life, log: testLog }),
    ops: createOps(createMetrics(), life),
  });
  return () => tries;
}

it("leaves no reader behind when storing fails", async () => {
  const { last } = await endOfEvents(bus);
  await publish();
  const tries = await recordAfter(last, { failures: 4 });
  await eventually(() => expect(tries()).toBe(5));
  await eventually(async () => {
    expect(await bus.jsm.consumers.list(bus.subjects.streams.audit).next()).toHaveLength(1);
  });
});

it("says once that messages are missing, however often their batch is tried", async () => {
  await publish();
  const { last } = await endOfEvents(bus);
  for (let count = 0; count < 3; count++) await publish();
  for (const missing of [last + 1, last + 2]) await bus.jsm.streams.deleteMessage(bus.subjects.streams.audit, missing);
  const tries = await recordAfter(last, { failures: 3 });
  await eventually(() => expect(tries()).toBeGreaterThan(3));
  const reasons: string[] = [];
  for await (const { event } of readPastEvents(bus, { kind: "alert", signal: life.signal }))
    if (event.kind === "alert") reasons.push(event.reason);
  expect(reasons).toEqual([expect.stringContaining(`messages ${last + 1} to ${last + 2} of the stream`)]);
});
