import type { DesiredLimit } from "@tollgate/desired-state";
import type { ClientBase } from "pg";
import type { LimitRecord } from "../domain/limits.ts";
import type { Author } from "./policies.ts";

interface LimitRow {
  id: string;
  definition: Omit<DesiredLimit, "name">;
  source: "file" | "api";
  updated_at: Date;
  updated_by: string;
}

export async function readLimits(client: ClientBase): Promise<LimitRecord[]> {
  const { rows } = await client.query<LimitRow>("SELECT * FROM policy.limits ORDER BY id");
  return rows.map(({ id, definition, source, updated_at, updated_by }) => ({
    ...definition,
    name: id,
    source,
    updatedAtMs: updated_at.getTime(),
    updatedBy: updated_by,
  }));
}

/** Creates or replaces. */
export async function putLimit(client: ClientBase, limit: DesiredLimit, author: Author): Promise<void> {
  const { name, ...definition } = limit;
  await client.query(
    `INSERT INTO policy.limits (id, definition, source, updated_by) VALUES ($1, $2, $3, $4)
     ON CONFLICT (id) DO UPDATE SET definition = excluded.definition, source = excluded.source,
       updated_at = now(), updated_by = excluded.updated_by`,
    [name, JSON.stringify(definition), author.source, author.actor],
  );
}

export async function deleteLimit(client: ClientBase, id: string): Promise<void> {
  await client.query("DELETE FROM policy.limits WHERE id = $1", [id]);
}
