import { join } from "node:path";
import { migrate, openLife, openPartitions, openPool, type Pool } from "@tollgate/service";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const infra = useInfrastructure();
const life = openLife(testLog);
let pool: Pool;
let other: Pool;

beforeAll(async () => {
  const url = infra.databaseUrl("audit");
  pool = await openPool({ url, max: 2, name: "test", life, log: testLog });
  other = await openPool({ url, max: 2, name: "test-other", life, log: testLog });
  await migrate({ pool, schema: "audit", directory: join(import.meta.dirname, "../migrations"), log: testLog });
});
afterAll(() => life.close());

async function createTable(table: string): Promise<void> {
  await pool.query(`CREATE TABLE audit.${table} (time timestamptz PRIMARY KEY, note text) PARTITION BY RANGE (time)`);
}

async function partitionsOf(table: string): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>(
    "SELECT relname AS name FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = $1::regclass ORDER BY 1",
    [`audit.${table}`],
  );
  return rows.map((row) => row.name);
}

const NOVEMBER = Date.UTC(2026, 10, 15);

describe("partitions without TimescaleDB", () => {
  it("are made for the months that come up and the one after the newest", async () => {
    await createTable("ahead");
    const partitions = await openPartitions({ pool, schema: "audit", table: "ahead", log: testLog });
    await partitions.ensure([Date.UTC(2026, 11, 31, 23, 59, 59, 999), Date.UTC(2020, 1, 29)]);
    expect(await partitionsOf("ahead")).toEqual(["ahead_202002", "ahead_202612", "ahead_202701"]);
    await pool.query("INSERT INTO audit.ahead VALUES ('2026-12-31 23:59:59.999Z'), ('2027-01-01Z'), ('2020-02-01Z')");
    await expect(pool.query("INSERT INTO audit.ahead VALUES ('2027-02-01Z')")).rejects.toThrow("no partition");
  });

  it("are made once when replicas reach a month together", async () => {
    await createTable("together");
    const replicas = await Promise.all(
      [pool, other, pool, other].map((each) =>
        openPartitions({ pool: each, schema: "audit", table: "together", log: testLog }),
      ),
    );
    await Promise.all(replicas.map((replica) => replica.ensure([NOVEMBER])));
    expect(await partitionsOf("together")).toEqual(["together_202611", "together_202612"]);
  });

  it("are made while somebody reads the table", async () => {
    await createTable("busy");
    const partitions = await openPartitions({ pool, schema: "audit", table: "busy", log: testLog });
    await partitions.ensure([NOVEMBER]);
    const reader = await other.connect();
    try {
      await reader.query("BEGIN; SELECT count(*) FROM audit.busy");
      await partitions.ensure([Date.UTC(2030, 0)]);
      await reader.query("COMMIT");
    } finally {
      reader.release();
    }
    expect(await partitionsOf("busy")).toContain("busy_203001");
  });

  it("are made again after they were dropped", async () => {
    await createTable("dropped");
    const partitions = await openPartitions({ pool, schema: "audit", table: "dropped", log: testLog });
    await partitions.ensure([NOVEMBER]);
    await pool.query("DROP TABLE audit.dropped_202611");
    await eventually(async () => {
      await partitions.ensure([NOVEMBER]);
      await pool.query("INSERT INTO audit.dropped VALUES ('2026-11-15Z')").catch((error: unknown) => {
        partitions.forget();
        throw error;
      });
    });
    expect((await pool.query("SELECT FROM audit.dropped")).rowCount).toBe(1);
  });
});
