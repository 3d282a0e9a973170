import pg from "pg";
import type { Log } from "./log.ts";
import { monthBounds } from "./partitions.ts";
import { type Pool, withTransaction } from "./postgres.ts";

/** Whoever reads or writes the table waits behind a drop for so long at the most. */
const LOCK_TIMEOUT_MS = 1_000;
const LOCK_NOT_AVAILABLE = "55P03";

interface OldPartitions {
  readonly pool: Pool;
  readonly schema: string;
  readonly table: string;
  /** Unix milliseconds: only what holds nothing but rows before this. */
  readonly beforeMs: number;
  /** Those with rows stay. */
  readonly onlyEmpty: boolean;
  readonly log: Log;
}

interface Part {
  /** As SQL takes it. */
  readonly name: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Drops monthly partitions, or chunks of a hypertable, as a whole, but for those that are in use. Says how many. */
export async function dropOldPartitions(options: OldPartitions): Promise<number> {
  const { pool, schema, table, beforeMs, log } = options;
  const { rows } = await pool.query<{ native: boolean }>(
    "SELECT relkind = 'p' AS native FROM pg_class WHERE oid = $1::regclass",
    [qualified(schema, table)],
  );
  const native = rows[0]?.native === true;
  const parts = await (native ? monthsOf(options) : chunksOf(options));
  let dropped = 0;
  for (const part of parts) {
    if (part.toMs > beforeMs) continue;
    const isDropped = await drop(options, part, native).catch((error: unknown) => {
      if ((error as { code?: unknown }).code !== LOCK_NOT_AVAILABLE) throw error;
      return false;
    });
    if (!isDropped) continue;
    dropped += 1;
    log.info({ partition: part.name }, "partition dropped");
  }
  return dropped;
}

async function monthsOf({ pool, schema, table }: OldPartitions): Promise<Part[]> {
  const { rows } = await pool.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = $1::regclass ORDER BY c.relname`,
    [qualified(schema, table)],
  );
  return rows.flatMap(({ name }) => {
    const [, year, month] = new RegExp(`^${table}_(\\d{4,})(\\d{2})$`).exec(name) ?? [];
    if (year === undefined) return [];
    return [{ name: qualified(schema, name), ...monthBounds(Number(year) * 12 + Number(month) - 1) }];
  });
}

async function chunksOf({ pool, schema, table }: OldPartitions): Promise<Part[]> {
  const { rows } = await pool.query<{ name: string; from: Date; to: Date }>(
    `SELECT format('%I.%I', chunk_schema, chunk_name) AS name, range_start AS "from", range_end AS "to"
     FROM timescaledb_information.chunks WHERE hypertable_schema = $1 AND hypertable_name = $2 ORDER BY range_start`,
    [schema, table],
  );
  return rows.map(({ name, from, to }) => ({ name, fromMs: from.getTime(), toMs: to.getTime() }));
}

/** Under the lock nobody adds a row between the look and the drop. */
async function drop({ pool, schema, table, onlyEmpty }: OldPartitions, part: Part, native: boolean): Promise<boolean> {
  const isEmpty = async (client: Pick<pg.ClientBase, "query">): Promise<boolean> =>
    (await client.query<{ empty: boolean }>(`SELECT NOT EXISTS (SELECT FROM ${part.name}) AS empty`)).rows[0]!.empty;
  const client = { query: pool.query.bind(pool) } as Pick<pg.ClientBase, "query">;
  if (onlyEmpty && !(await isEmpty(client))) return false;
  const parent = qualified(schema, table);
  return withTransaction(pool, async (transaction) => {
    await transaction.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
    await transaction.query(`LOCK TABLE ONLY ${parent} IN ACCESS EXCLUSIVE MODE`);
    if (onlyEmpty && !(await isEmpty(transaction))) return false;
    if (native) await transaction.query(`DROP TABLE ${part.name}`);
    else
      await transaction.query(
        "SELECT drop_chunks($1::regclass, older_than => $2::timestamptz, newer_than => $3::timestamptz)",
        [parent, new Date(part.toMs), new Date(part.fromMs)],
      );
    return true;
  });
}

function qualified(schema: string, table: string): string {
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`;
}
