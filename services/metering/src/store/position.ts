import type { Pool } from "@tollgate/service";

/** Unix milliseconds at which the stream took the last message that is recorded; 0: none is. */
export async function readPublishedMs(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ publishedMs: number | null }>(
    `SELECT floor(extract(epoch FROM published_at) * 1000)::float8 AS "publishedMs" FROM metering.position`,
  );
  return rows[0]?.publishedMs ?? 0;
}

/** Whether nothing of any stream was recorded yet. */
export async function isEmpty(pool: Pool): Promise<boolean> {
  return ((await pool.query("SELECT FROM metering.position WHERE stream = ''")).rowCount ?? 0) > 0;
}
