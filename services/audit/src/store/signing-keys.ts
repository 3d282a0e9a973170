import { type KeyRecord, parseKeyRecord } from "@tollgate/evidence";
import type { ClientBase } from "pg";

type Client = Pick<ClientBase, "query">;

export interface StoredKey {
  readonly record: KeyRecord;
  /** Null once another key has taken over. */
  readonly sealed: string | null;
}

/** Oldest first. */
export async function readSigningKeys(client: Client): Promise<StoredKey[]> {
  const { rows } = await client.query<{ id: string; record: string; sealed: string | null }>(
    "SELECT id, record, sealed FROM audit.signing_keys ORDER BY place",
  );
  return rows.map(({ id, record, sealed }) => {
    const parsed = parseKeyRecord(record);
    return { record: parsed?.id === id ? parsed : unreadable(id), sealed };
  });
}

/** One that proves nothing, itself least of all. */
function unreadable(id: string): KeyRecord {
  return { v: 1, id, publicKey: "", at: 0, previous: "", signature: "", previousSignature: "" };
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
