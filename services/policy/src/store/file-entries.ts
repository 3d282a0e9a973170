import type { ClientBase } from "pg";
import type { FileEntry } from "../domain/file-entries.ts";

export type EntryKind = "policy" | "limit";

/** What tollgate.yaml said last, by id. */
export async function readFileEntries(client: ClientBase, kind: EntryKind): Promise<ReadonlyMap<string, unknown>> {
  const { rows } = await client.query<FileEntry>("SELECT id, entry FROM policy.file_entries WHERE kind = $1", [kind]);
  return new Map(rows.map(({ id, entry }) => [id, entry]));
}

/** Makes these all that it said. */
export async function writeFileEntries(
  client: ClientBase,
  kind: EntryKind,
  entries: readonly FileEntry[],
): Promise<void> {
  const ids = entries.map(({ id }) => id);
  await client.query("DELETE FROM policy.file_entries WHERE kind = $1 AND id <> ALL ($2)", [kind, ids]);
  await client.query(
    `INSERT INTO policy.file_entries (kind, id, entry)
     SELECT $1, new.id, new.entry FROM jsonb_to_recordset($2) AS new (id text, entry jsonb)
     ON CONFLICT (kind, id) DO UPDATE SET entry = excluded.entry`,
    [kind, JSON.stringify(entries)],
  );
}
