import type { KeyRecord } from "@tollgate/evidence";
import type { ClientBase } from "pg";

type Client = Pick<ClientBase, "query">;

export interface StoredKey {
  readonly record: KeyRecord;
  /** Null once another key has taken over. */
  readonly sealed: string | null;
}

/** Oldest first. */
export async function readSigningKeys(client: Client): Promise<StoredKey[]> {
  const { rows } = await client.query<{ record: string; sealed: string | null }>(
    "SELECT record, sealed FROM audit.signing_keys ORDER BY place",
  );
  return rows.map(({ record, sealed }) => ({ record: JSON.parse(record) as KeyRecord, sealed }));
}

/** Until the transaction ends nobody else changes keys. */
export async function lockSigningKeys(client: Client): Promise<void> {
  await client.query("LOCK TABLE audit.signing_keys IN SHARE ROW EXCLUSIVE MODE");
}

/** The new key takes over; the private ones before it are forgotten. */
export async function addSigningKey(client: Client, record: KeyRecord, sealed: string): Promise<void> {
  await client.query("UPDATE audit.signing_keys SET sealed = NULL");
  await client.query(
    `INSERT INTO audit.signing_keys (place, id, record, sealed)
     SELECT count(*), $1, $2, $3 FROM audit.signing_keys`,
    [record.id, JSON.stringify(record), sealed],
  );
}
