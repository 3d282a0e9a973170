import { connectBus, requestParts } from "@tollgate/bus";
import { eventually, testLog as log, useInfrastructure } from "@tollgate/testkit";
import { afterAll, expect, it } from "vitest";
import { openLife } from "../src/life.ts";
import { createMetrics } from "../src/metrics.ts";
import { createOps } from "../src/ops.ts";
import { answerAsPart } from "../src/part.ts";
import { openPool, type Pool, withTransaction } from "../src/postgres.ts";

const infra = useInfrastructure();
const life = openLife(log);
afterAll(() => life.close());

async function join(pool: Pool): Promise<() => Promise<(string | undefined)[]>> {
  const bus = await connectBus({
    url: infra.natsUrl,
    name: "test",
    prefix: infra.busPrefix,
    log,
    signal: life.signal,
  });
  life.onClose("bus", 5_000, () => bus.drain());
  answerAsPart({ name: "audit", bus, ops: createOps(createMetrics(), life), pool });
  await bus.connection.flush();
  return async () => (await requestParts(bus, { waitMs: 1_000 })).map(({ migration }) => migration);
}

it("tells how it is while its database takes long, with the newest migration as far as it is known", async () => {
  const pool = await openPool({ url: infra.databaseUrl("audit"), max: 6, name: "test", life, log });
  await pool.query("CREATE TABLE audit.migrations (name text); INSERT INTO audit.migrations VALUES ('0001-first.sql')");
  const migrations = await join(pool);
  await eventually(async () => expect(await migrations()).toEqual(["0001-first"]));
  await pool.query("INSERT INTO audit.migrations VALUES ('0002-second.sql')");
  await eventually(async () => expect(await migrations()).toEqual(["0002-second"]));
  await withTransaction(pool, async (client) => {
    await client.query("LOCK TABLE audit.migrations IN ACCESS EXCLUSIVE MODE");
    await eventually(async () => expect(await migrations()).toEqual(["0002-second"]));
    await join(pool);
    await eventually(async () => expect(new Set(await migrations())).toEqual(new Set(["0002-second", undefined])));
    // However often it is asked, one question waits for the database.
    expect(pool.totalCount - pool.idleCount).toBe(3);
  });
  await eventually(async () => expect(await migrations()).toEqual(["0002-second", "0002-second"]));
});
