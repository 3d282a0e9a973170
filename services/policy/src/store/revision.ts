import type { ClientBase } from "pg";
import type { Pool } from "@tollgate/service";

/** Holds off every other change until the transaction ends. */
export async function lockRevision(client: ClientBase): Promise<number> {
  const { rows } = await client.query<{ revision: string }>("SELECT revision FROM policy.revision FOR UPDATE");
  return Number(rows[0]!.revision);
}

export async function writeRevision(client: ClientBase, revision: number): Promise<void> {
  await client.query("UPDATE policy.revision SET revision = $1", [revision]);
}

export async function readRevision(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ revision: string }>("SELECT revision FROM policy.revision");
  return Number(rows[0]!.revision);
}
