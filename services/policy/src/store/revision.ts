import type { ClientBase } from "pg";
import type { Changed } from "../domain/state.ts";
import { tellReplicas } from "./replicas.ts";

const CHANGES_KEPT_MAX = 1_000;

/** Holds off every other change until the transaction ends. */
export async function lockRevision(client: ClientBase): Promise<number> {
  const { rows } = await client.query<{ revision: string }>("SELECT revision FROM policy.revision FOR UPDATE");
  return Number(rows[0]!.revision);
}

/** Other replicas hear of it once it is committed. */
export async function writeRevision(client: ClientBase, revision: number, changed: readonly Changed[]): Promise<void> {
  await client.query(
    `WITH next AS (UPDATE policy.revision SET revision = $1),
       old AS (DELETE FROM policy.changes WHERE revision <= $1 - $3)
     INSERT INTO policy.changes (revision, changed) VALUES ($1, $2)`,
    [revision, JSON.stringify(changed), CHANGES_KEPT_MAX],
  );
  await tellReplicas(client);
}

/** What has changed after one revision and up to another; undefined where that is not known any more. */
export async function readChanges(
  client: ClientBase,
  { after, upTo }: { readonly after: number; readonly upTo: number },
): Promise<Changed[] | undefined> {
  const { rows } = await client.query<{ changed: Changed[] }>(
    "SELECT changed FROM policy.changes WHERE revision > $1 AND revision <= $2",
    [after, upTo],
  );
  return rows.length === upTo - after ? rows.flatMap(({ changed }) => changed) : undefined;
}
