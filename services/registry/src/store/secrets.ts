import type { AuditEvent } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { enqueueEvents, type Pool, withTransaction } from "@tollgate/service";
import { lockRevision, type Queryable, setRevision } from "./revision.ts";

const SECRETS_MAX = 5_000;
const REWRAPPED_AT_ONCE = 100;

/** A secret of the table: see migrations/0007-secrets.sql. */
export interface SecretRow {
  readonly name: string;
  readonly version: number;
  readonly sealed: string;
  readonly servers: readonly string[];
  readonly description: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly updatedBy: string;
}

const COLUMNS = `name, version, sealed, servers, description, created_at AS "createdAt", updated_at AS "updatedAt",
  updated_by AS "updatedBy"`;

/** Those of these names; all where none are given. */
export async function readSecrets(client: Queryable, names?: readonly string[]): Promise<SecretRow[]> {
  const { rows } = await client.query<SecretRow>(
    `SELECT ${COLUMNS} FROM registry.secrets WHERE $1::text[] IS NULL OR name = ANY ($1) ORDER BY name`,
    [names ?? null],
  );
  return rows;
}

interface Expected {
  /** 0: whatever it is. */
  readonly ifVersion: number;
  readonly createOnly?: boolean;
}

type EventOf = (before: SecretRow | undefined, after: SecretRow | undefined) => AuditEvent;

/**
 * Stores a value as the secret's next version, and moves the revision: every replica looks at its secrets again. A
 * description and servers that are not given stay as they were.
 * @throws {AppError} failed_precondition with `version`, already_exists
 */
export async function putSecret(
  pool: Pool,
  given: Pick<SecretRow, "name" | "updatedBy"> & {
    readonly servers: readonly string[] | undefined;
    readonly description: string | undefined;
    readonly seal: (row: Pick<SecretRow, "version" | "servers">) => string;
  },
  { eventOf, ...expected }: Expected & { readonly eventOf: EventOf },
): Promise<{ readonly before: SecretRow | undefined; readonly after: SecretRow }> {
  const { name, updatedBy, seal } = given;
  return withTransaction(pool, async (client) => {
    const revision = await lockRevision(client);
    const before = await readExpected(client, name, expected);
    if (before === undefined) await checkRoom(client);
    const version = (before?.version ?? 0) + 1;
    const servers = given.servers ?? before?.servers ?? [];
    const description = given.description ?? before?.description ?? "";
    const { rows } = await client.query<SecretRow>(
      `INSERT INTO registry.secrets (name, version, sealed, servers, description, updated_by) VALUES ($1, $2, $3, $4, $5, $6)
       ON CONFLICT (name) DO UPDATE SET version = excluded.version, sealed = excluded.sealed, servers = excluded.servers,
         description = excluded.description, updated_by = excluded.updated_by, updated_at = now()
       RETURNING ${COLUMNS}`,
      [name, version, seal({ version, servers }), servers, description, updatedBy],
    );
    const after = rows[0]!;
    await setRevision(client, revision + 1n);
    await enqueueEvents(client, "registry", [eventOf(before, after)]);
    return { before, after };
  });
}

/** @throws {AppError} not_found, failed_precondition with `version` */
export async function deleteSecret(
  pool: Pool,
  name: string,
  { eventOf, ...expected }: Expected & { readonly eventOf: EventOf },
): Promise<void> {
  await withTransaction(pool, async (client) => {
    const revision = await lockRevision(client);
    const before = await readExpected(client, name, expected);
    if (before === undefined) throw new AppError("not_found", `there is no secret "${name}"`);
    await client.query("DELETE FROM registry.secrets WHERE name = $1", [name]);
    await setRevision(client, revision + 1n);
    await enqueueEvents(client, "registry", [eventOf(before, undefined)]);
  });
}

async function readExpected(
  client: Queryable,
  name: string,
  { ifVersion, createOnly = false }: Expected,
): Promise<SecretRow | undefined> {
  const [row] = await readSecrets(client, [name]);
  if (createOnly && row !== undefined) throw new AppError("already_exists", `there is a secret "${name}" already`);
  const version = row?.version ?? 0;
  if (ifVersion !== 0 && ifVersion !== version) {
    const message = `the secret "${name}" has ${version === 0 ? "gone" : `version ${version} now`}`;
    throw new AppError("failed_precondition", message, { details: { version } });
  }
  return row;
}

async function checkRoom(client: Queryable): Promise<void> {
  const { rows } = await client.query<{ count: number }>("SELECT count(*)::integer AS count FROM registry.secrets");
  if (rows[0]!.count >= SECRETS_MAX)
    throw new AppError(
      "failed_precondition",
      `there are ${SECRETS_MAX} secrets already, which is the most there may be`,
    );
}

/** Where texts are sealed, and what one is called in a message. */
const SEALED = [
  { table: "registry.secrets", label: "'secret ' || name" },
  { table: "registry.entries", label: "kind || ' ' || id" },
] as const;

export interface Rewrapped {
  readonly count: number;
  /** What is as it was, each with the reason. */
  readonly failed: readonly string[];
}

/**
 * Wraps everything anew that is not under the newest key. Each hundred is a transaction, and what is done already is not
 * done again: after a crash it is to be called again. `eventOf` is what to put on the record when all is done.
 */
export async function rewrapAll(
  pool: Pool,
  options: { keyId: string; rewrap: (sealed: string) => string; eventOf: (done: Rewrapped) => AuditEvent },
): Promise<Rewrapped> {
  let count = 0;
  const failed: string[] = [];
  for (const { table, label } of SEALED) {
    for (let after: string | undefined = ""; after !== undefined;) {
      const batch = await withTransaction(pool, (client) =>
        rewrapSome(client, { ...options, table, label, after: after! }),
      );
      count += batch.count;
      failed.push(...batch.failed);
      after = batch.last;
    }
  }
  await withTransaction(pool, (client) => enqueueEvents(client, "registry", [options.eventOf({ count, failed })]));
  return { count, failed };
}

async function rewrapSome(
  client: Queryable,
  options: { keyId: string; rewrap: (sealed: string) => string; table: string; label: string; after: string },
): Promise<Rewrapped & { readonly last: string | undefined }> {
  const { keyId, rewrap, table, label, after } = options;
  const { rows } = await client.query<{ label: string; sealed: string }>(
    `SELECT ${label} AS label, sealed FROM ${table}
     WHERE sealed IS NOT NULL AND split_part(sealed, ':', 1) <> $1 AND ${label} COLLATE "C" > $2
     ORDER BY ${label} COLLATE "C" LIMIT ${REWRAPPED_AT_ONCE} FOR UPDATE`,
    [keyId, after],
  );
  const failed: string[] = [];
  const done: { label: string; sealed: string }[] = [];
  for (const row of rows) {
    try {
      done.push({ label: row.label, sealed: rewrap(row.sealed) });
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      failed.push(`${row.label}: ${error.message}`);
    }
  }
  await client.query(
    `UPDATE ${table} SET sealed = given.sealed FROM jsonb_to_recordset($1) AS given (label text, sealed text)
     WHERE ${label} = given.label`,
    [JSON.stringify(done)],
  );
  return { count: done.length, failed, last: rows.at(-1)?.label };
}
