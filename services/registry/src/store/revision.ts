import type { Pool } from "@tollgate/service";

/** What a statement can be run on: a pool, or a client inside a transaction. */
export type Queryable = Pick<Pool, "query">;

/** Held until the transaction ends: changes of the catalogue happen one after the other, across replicas. */
export async function lockRevision(client: Queryable): Promise<bigint> {
  const { rows } = await client.query<{ value: string }>("SELECT value FROM registry.revision FOR UPDATE");
  return BigInt(rows[0]!.value);
}

export async function readRevision(client: Queryable): Promise<bigint> {
  const { rows } = await client.query<{ value: string }>("SELECT value FROM registry.revision");
  return BigInt(rows[0]!.value);
}

export async function setRevision(client: Queryable, revision: bigint): Promise<void> {
  await client.query("UPDATE registry.revision SET value = $1", [revision]);
}
