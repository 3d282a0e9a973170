import type { ClientBase } from "pg";
import type { Effect, PolicyRecord, ShortPolicy, Source } from "../domain/policy.ts";

export interface PolicyRow {
  id: string;
  effect: Effect;
  principals: string[];
  actions: string[];
  resources: string[];
  require_sandbox: boolean;
  source: Source;
  version: string;
  updated_at: Date;
  updated_by: string;
}

export async function readPolicies(client: ClientBase): Promise<PolicyRecord[]> {
  const { rows } = await client.query<PolicyRow>("SELECT * FROM policy.policies ORDER BY id");
  return rows.map(toRecord);
}

export async function findPolicy(client: ClientBase, id: string): Promise<PolicyRecord | undefined> {
  const { rows } = await client.query<PolicyRow>("SELECT * FROM policy.policies WHERE id = $1", [id]);
  return rows[0] && toRecord(rows[0]);
}

export function toRecord(row: PolicyRow): PolicyRecord {
  return {
    id: row.id,
    effect: row.effect,
    principals: row.principals,
    actions: row.actions,
    resources: row.resources,
    requireSandbox: row.require_sandbox,
    source: row.source,
    version: Number(row.version),
    updatedAtMs: row.updated_at.getTime(),
    updatedBy: row.updated_by,
  };
}

export interface Author {
  readonly source: Source;
  readonly actor: string;
}

/** Creates or replaces. Versions count on from those of an earlier policy of the same id. */
export async function putPolicy(client: ClientBase, policy: ShortPolicy, author: Author): Promise<void> {
  const values = [
    policy.id,
    policy.effect,
    policy.principals,
    policy.actions,
    policy.resources,
    policy.requireSandbox,
    author.source,
    author.actor,
  ];
  const { rows } = await client.query<{ version: string }>(
    `INSERT INTO policy.policy_history (id, version, change, effect, principals, actions, resources, require_sandbox,
       source, changed_by)
     SELECT $1, coalesce(max(version), 0) + 1, 'put', $2, $3, $4, $5, $6, $7, $8
     FROM policy.policy_history WHERE id = $1
     RETURNING version`,
    values,
  );
  await client.query(
    `INSERT INTO policy.policies
       (id, effect, principals, actions, resources, require_sandbox, source, updated_by, version)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
     ON CONFLICT (id) DO UPDATE SET effect = excluded.effect, principals = excluded.principals, actions = excluded.actions,
       resources = excluded.resources, require_sandbox = excluded.require_sandbox, source = excluded.source,
       version = excluded.version, updated_at = now(), updated_by = excluded.updated_by`,
    [...values, rows[0]!.version],
  );
}

export async function deletePolicy(client: ClientBase, policy: PolicyRecord, actor: string): Promise<void> {
  await client.query("DELETE FROM policy.policies WHERE id = $1", [policy.id]);
  await client.query(
    `INSERT INTO policy.policy_history (id, version, change, effect, principals, actions, resources, require_sandbox,
       source, changed_by)
     VALUES ($1, $2, 'delete', $3, $4, $5, $6, $7, $8, $9)`,
    [
      policy.id,
      policy.version + 1,
      policy.effect,
      policy.principals,
      policy.actions,
      policy.resources,
      policy.requireSandbox,
      policy.source,
      actor,
    ],
  );
}
