import type { ClientBase } from "pg";
import type { ReplicaRecord } from "../domain/replicas.ts";

/** Where replicas hear that something is new: a revision, or that another has taken one. */
const CHANNEL = "tollgate_policy_replicas";

type Queries = Pick<ClientBase, "query">;

/** Registers it too, or anew where it was swept. A write that was given up and arrives late changes nothing. */
export async function writeReplica(client: Queries, { id, place, beat, ...row }: ReplicaRecord): Promise<void> {
  await client.query(
    `INSERT INTO policy.replicas (id, place, beat, taken_revision, grants_ms) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (id) DO UPDATE SET beat = excluded.beat, taken_revision = excluded.taken_revision,
       grants_ms = excluded.grants_ms WHERE replicas.beat < excluded.beat`,
    [id, place, beat, row.takenRevision, row.grantsMs],
  );
}

/** In a transaction: once it is committed. */
export async function tellReplicas(client: Queries): Promise<void> {
  await client.query(`NOTIFY ${CHANNEL}`);
}

export async function listenToReplicas(client: Queries): Promise<void> {
  await client.query(`LISTEN ${CHANNEL}`);
}

/** The newest revision, and the replicas other than this one. */
export async function readReplicas(
  client: Queries,
  id: string,
): Promise<{ readonly revision: number; readonly others: readonly ReplicaRecord[] }> {
  const { rows } = await client.query<{ revision: string; others: ReplicaRecord[] }>(
    `SELECT revision, coalesce((SELECT jsonb_agg(jsonb_build_object('id', id, 'place', place, 'beat', beat,
         'takenRevision', taken_revision, 'grantsMs', grants_ms)) FROM policy.replicas WHERE id <> $1), '[]') AS others
     FROM policy.revision`,
    [id],
  );
  return { revision: Number(rows[0]!.revision), others: rows[0]!.others };
}

/** Only if it has not written since: then it is alive after all. */
export async function removeReplica(client: Queries, { id, beat }: Pick<ReplicaRecord, "id" | "beat">): Promise<void> {
  await client.query("DELETE FROM policy.replicas WHERE id = $1 AND beat = $2", [id, beat]);
}
