import type { EntryKey, EntryKind } from "@tollgate/desired-state";
import type { Queryable } from "./revision.ts";

/** How long the version of an entry that is nowhere any more is kept. */
const GONE_DAYS = 30;

/** An entry of the table: see migrations/0006-entries.sql. */
export interface EntryRow {
  readonly kind: EntryKind;
  readonly id: string;
  readonly fileHash: string | null;
  /** With "(hidden)" for what is sealed. */
  readonly shown: Readonly<Record<string, unknown>> | null;
  readonly sealed: string | null;
  readonly isRemoved: boolean;
  readonly version: number;
  readonly updatedBy: string;
}

export interface StoredEntry extends EntryRow {
  readonly problem: string;
  readonly updatedAt: Date;
}

/** In the order in which they came. */
export async function readEntries(client: Queryable): Promise<StoredEntry[]> {
  const { rows } = await client.query<StoredEntry>(
    `SELECT kind, id, file_hash AS "fileHash", api_entry AS shown, sealed, api_removed AS "isRemoved", problem,
       version::integer, updated_by AS "updatedBy", updated_at AS "updatedAt"
     FROM registry.entries ORDER BY position`,
  );
  return rows;
}

/** The revision that the newest of them came with. */
export async function readEntriesRevision(client: Queryable): Promise<bigint> {
  const { rows } = await client.query<{ revision: string }>(
    "SELECT coalesce(max(revision), 0) AS revision FROM registry.entries",
  );
  return BigInt(rows[0]!.revision);
}

export async function writeEntries(client: Queryable, rows: readonly EntryRow[], revision: bigint): Promise<void> {
  if (rows.length === 0) return;
  await client.query(
    `INSERT INTO registry.entries
       (kind, id, file_hash, api_entry, sealed, api_removed, version, updated_by, revision)
     SELECT kind, id, "fileHash", nullif(shown, 'null'), sealed, "isRemoved", version, "updatedBy", $2
     FROM jsonb_to_recordset($1) AS new (kind text, id text, "fileHash" text, shown jsonb, sealed text,
       "isRemoved" boolean, version bigint, "updatedBy" text)
     ON CONFLICT (kind, id) DO UPDATE SET file_hash = excluded.file_hash, api_entry = excluded.api_entry,
       sealed = excluded.sealed, api_removed = excluded.api_removed, version = excluded.version,
       updated_by = excluded.updated_by, updated_at = now(), revision = excluded.revision`,
    [JSON.stringify(rows), revision],
  );
  await client.query(
    `DELETE FROM registry.entries
     WHERE file_hash IS NULL AND api_entry IS NULL AND NOT api_removed AND updated_at < now() - $1::integer * interval '1 day'`,
    [GONE_DAYS],
  );
}

/** Why the API's words are set aside; each is another one than before. */
export async function writeProblems(
  client: Queryable,
  problems: readonly (EntryKey & { readonly problem: string })[],
  revision: bigint,
): Promise<void> {
  if (problems.length === 0) return;
  await client.query(
    `UPDATE registry.entries AS entry SET problem = new.problem, revision = $2
     FROM jsonb_to_recordset($1) AS new (kind text, id text, problem text)
     WHERE entry.kind = new.kind AND entry.id = new.id`,
    [JSON.stringify(problems), revision],
  );
}
