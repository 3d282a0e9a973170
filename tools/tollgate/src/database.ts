import { setTimeout as delay } from "node:timers/promises";
import { bootstrapDatabase } from "@tollgate/service";
import pg from "pg";
import type { Secrets } from "./secrets.ts";
import { DATABASE_SERVICES } from "./service-plan.ts";

const RETRY_MS = 500;
const DUPLICATE_DATABASE = "42P04";
/** A database with a wrong password or user is not one that is still starting. */
const LOGIN_REFUSED = "28";

/**
 * Makes the database that `databaseUrl` (a superuser's) names, unless it is there, with the services' roles and schemas.
 * Waits up to `waitMs` for a server that is still starting.
 */
export async function prepareDatabase(options: {
  readonly databaseUrl: string;
  readonly secrets: Secrets;
  readonly waitMs: number;
}): Promise<void> {
  const { databaseUrl, secrets } = options;
  const until = Date.now() + options.waitMs;
  for (;;) {
    try {
      await createDatabase(databaseUrl);
      break;
    } catch (error) {
      if (Date.now() > until || String((error as { code?: string }).code).startsWith(LOGIN_REFUSED)) throw error;
      await delay(RETRY_MS);
    }
  }
  await bootstrapDatabase(
    databaseUrl,
    DATABASE_SERVICES.map((service) => ({ service, password: secrets.rolePasswords[service] })),
  );
}

async function createDatabase(databaseUrl: string): Promise<void> {
  const name = decodeURIComponent(new URL(databaseUrl).pathname.slice(1));
  const server = inDatabase(databaseUrl, "postgres");
  const client = new pg.Client({ connectionString: server, connectionTimeoutMillis: 5_000 });
  await client.connect();
  try {
    const found = await client.query("SELECT 1 FROM pg_database WHERE datname = $1", [name]);
    if (found.rowCount) return;
    await client.query(`CREATE DATABASE ${pg.escapeIdentifier(name)}`);
  } catch (error) {
    if ((error as { code?: string }).code !== DUPLICATE_DATABASE) throw error;
  } finally {
    await client.end();
  }
}

/** The same server and user, another database. */
export function inDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.toString();
}
