import { AppError } from "@tollgate/errors";
import pg from "pg";
import type { Life } from "./life.ts";
import type { Log } from "./log.ts";

export type Pool = pg.Pool;

const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 30_000;
const START_WAIT_MS = 30_000;

/** A pool whose first connection has succeeded; waits up to 30 s for a database that is still starting. */
export async function openPool(options: {
  url: string;
  max: number;
  name: string;
  life: Life;
  log: Log;
}): Promise<Pool> {
  const { url, max, name, life, log } = options;
  const pool = new pg.Pool({
    connectionString: url,
    max,
    application_name: `tollgate-${name}`,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
  });
  pool.on("error", (error) => log.warn({ err: error }, "idle database connection lost"));
  life.onClose("postgres", 5_000, () => pool.end());
  const until = Date.now() + START_WAIT_MS;
  for (;;) {
    try {
      await pool.query("SELECT 1");
      return pool;
    } catch (error) {
      if (Date.now() > until || life.signal.aborted) throw error;
      log.info({ reason: (error as Error).message }, "waiting for the database");
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

/**
 * What is wrong with whoever asked, rather than with the database: a value that it will never take, such as a NUL in a
 * text, or a number that is too large. Class 22 of PostgreSQL's error codes.
 */
export function refusedValue(error: unknown): AppError | undefined {
  const { code } = Object(error) as { code?: unknown };
  if (typeof code !== "string" || !/^22[0-9A-Z]{3}$/.test(code)) return undefined;
  return new AppError("invalid_argument", "holds a value that cannot be stored", { cause: error });
}

export async function withTransaction<T>(pool: Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  // The pool listens to idle connections only: when this one is lost, an event that nobody hears would end the process.
  let lost: Error | undefined;
  const onError = (error: Error): void => void (lost = error);
  client.on("error", onError);
  try {
    await client.query("BEGIN");
    const result = await work(client);
    await client.query("COMMIT");
    return result;
  } catch (error) {
    // A connection that cannot even roll back is not given back to the pool.
    await client.query("ROLLBACK").catch((failure: unknown) => (lost ??= failure as Error));
    throw error;
  } finally {
    client.off("error", onError);
    client.release(lost);
  }
}

export interface DatabaseRole {
  /** Names the role `tollgate_<service>` and the schema `<service>` that it owns. */
  readonly service: string;
  readonly password: string;
}

/**
 * Gives each service its own role and a schema that only this role owns. Run by whoever sets an installation up, as a
 * superuser; may be run again.
 */
export async function bootstrapDatabase(adminUrl: string, roles: readonly DatabaseRole[]): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  await client.connect();
  try {
    await client.query("SELECT pg_advisory_lock(hashtext('tollgate-bootstrap'))");
    await client.query("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    for (const { service, password } of roles) {
      const role = pg.escapeIdentifier(`tollgate_${service}`);
      const schema = pg.escapeIdentifier(service);
      const found = await client.query("SELECT 1 FROM pg_roles WHERE rolname = $1", [`tollgate_${service}`]);
      await client.query(
        `${found.rowCount ? "ALTER" : "CREATE"} ROLE ${role} LOGIN PASSWORD ${pg.escapeLiteral(password)}`,
      );
      await client.query(`CREATE SCHEMA IF NOT EXISTS ${schema} AUTHORIZATION ${role}`);
    }
    // Only a superuser can bring the extension in; where the server has it, the tables become hypertables.
    const offered = await client.query("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'");
    if (offered.rowCount) await client.query("CREATE EXTENSION IF NOT EXISTS timescaledb");
  } finally {
    await client.end();
  }
}
