import { type Pool, withTransaction } from "@tollgate/service";
import { DatabaseError } from "pg";

/** Younger chunks take most of what comes late, and are read most. */
const AGE = "30 days";
const FEATURE_NOT_SUPPORTED = "0A000";

/**
 * Has TimescaleDB compress chunks that are old enough, where it may: compression is of its community licence. A segment
 * of a compressed chunk is a chain's, ordered by its numbers, so that what is read by chain or by time unpacks little;
 * the key's columns have to be among both, so that an event that comes late meets itself there as well.
 * @returns false where the server has no such thing
 */
export async function compressOldChunks(pool: Pool): Promise<boolean> {
  const found = await pool.query("SELECT FROM pg_extension WHERE extname = 'timescaledb'");
  if (found.rowCount === 0) return false;
  const { rows } = await pool.query<{ enabled: boolean }>(
    `SELECT compression_enabled AS enabled FROM timescaledb_information.hypertables
     WHERE hypertable_schema = 'audit' AND hypertable_name = 'events'`,
  );
  // A table that is none was made before the extension came.
  if (rows[0]?.enabled !== false) return rows.length > 0;
  try {
    await withTransaction(pool, async (client) => {
      await client.query(
        `ALTER TABLE audit.events SET (timescaledb.compress, timescaledb.compress_segmentby = 'tenant, kind',
           timescaledb.compress_orderby = 'number, time, id')`,
      );
      await client.query(`SELECT add_compression_policy('audit.events', INTERVAL '${AGE}', if_not_exists => true)`);
    });
    return true;
  } catch (error) {
    if (error instanceof DatabaseError && error.code === FEATURE_NOT_SUPPORTED) return false;
    throw error;
  }
}
