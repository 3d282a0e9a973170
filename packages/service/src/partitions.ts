import pg from "pg";
import type { Log } from "./log.ts";
import { type Pool, withTransaction } from "./postgres.ts";

/**
 * The monthly partitions of one table that its migration made `PARTITION BY RANGE (time)`. Where the migration made a
 * TimescaleDB hypertable instead, the extension adds chunks by itself and nothing is done here.
 */
export interface Partitions {
  /**
   * Sees to it that rows of these times have a partition, whatever month they are of, and that the month after the
   * newest has one too: crossing into it then costs the insert nothing.
   * @param timesMs Unix milliseconds
   */
  ensure(timesMs: Iterable<number>): Promise<void>;
  /** Looks again next time. Call it when an insert failed: somebody may have dropped a partition. */
  forget(): void;
}

/** A month of the UTC calendar, counted from year 0. */
type Month = number;

export function monthOf(timeMs: number): Month {
  const date = new Date(timeMs);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}

export function monthBounds(month: Month): { fromMs: number; toMs: number } {
  const year = Math.floor(month / 12);
  return { fromMs: Date.UTC(year, month % 12), toMs: Date.UTC(year, (month % 12) + 1) };
}

/** `events_202611` for November 2026. */
export function partitionName(table: string, month: Month): string {
  return `${table}_${Math.floor(month / 12)}${String((month % 12) + 1).padStart(2, "0")}`;
}

export async function openPartitions(options: {
  pool: Pool;
  schema: string;
  table: string;
  log: Log;
}): Promise<Partitions> {
  const { pool, schema, table } = options;
  const { rows } = await pool.query<{ native: boolean }>(
    "SELECT relkind = 'p' AS native FROM pg_class WHERE oid = $1::regclass",
    [qualified(schema, table)],
  );
  if (rows[0]?.native !== true) return { ensure: async () => {}, forget: () => {} };

  const known = new Set<Month>();
  return {
    async ensure(timesMs) {
      const wanted = new Set<Month>();
      for (const timeMs of timesMs) wanted.add(monthOf(timeMs));
      if (wanted.size > 0) wanted.add(Math.max(...wanted) + 1);
      for (const month of wanted) {
        if (known.has(month)) continue;
        await createPartition({ ...options, month });
        known.add(month);
      }
    },
    forget: () => known.clear(),
  };
}

/**
 * Under a lock, since replicas reach a new month together. Made as a table of its own and attached afterwards: unlike
 * `CREATE TABLE … PARTITION OF`, this does not wait for those who read the parent, nor make others wait.
 */
async function createPartition(options: {
  pool: Pool;
  schema: string;
  table: string;
  log: Log;
  month: Month;
}): Promise<void> {
  const { pool, schema, table, log, month } = options;
  const parent = qualified(schema, table);
  const name = partitionName(table, month);
  const partition = qualified(schema, name);
  const { fromMs, toMs } = monthBounds(month);
  await withTransaction(pool, async (client) => {
    await client.query("SELECT pg_advisory_xact_lock(hashtext($1))", [`tollgate-partitions-${parent}`]);
    const attached = await client.query(
      "SELECT 1 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::regclass AND c.relname = $2",
      [parent, name],
    );
    if (attached.rowCount) return;
    await client.query(`CREATE TABLE IF NOT EXISTS ${partition} (LIKE ${parent} INCLUDING ALL)`);
    await client.query(
      `ALTER TABLE ${parent} ATTACH PARTITION ${partition} FOR VALUES FROM (to_timestamp(${fromMs / 1_000})) TO (to_timestamp(${toMs / 1_000}))`,
    );
    log.info({ partition: `${schema}.${name}` }, "partition created");
  });
}

function qualified(schema: string, table: string): string {
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`;
}
