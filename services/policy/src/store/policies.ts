import type { Recordable } from "@tollgate/contracts";
import type { Conditions } from "@tollgate/desired-state";
import type { ClientBase } from "pg";
import type { Effect, PolicyRecord, Source, WrittenPolicy } from "../domain/policy.ts";

export interface PolicyRow {
  id: string;
  description: string;
  tenant: string;
  effect: Effect;
  principals: string[];
  actions: string[];
  resources: string[];
  conditions: Conditions;
  record: Recordable[];
  cedar: string | null;
  source: Source;
  version: string;
  updated_at: Date;
  updated_by: string;
}

export async function readPolicies(client: ClientBase): Promise<PolicyRecord[]> {
  const { rows } = await client.query<PolicyRow>("SELECT * FROM policy.policies ORDER BY id");
  return rows.map(toRecord);
}

/** Those of these ids that there are. */
export async function readSomePolicies(client: ClientBase, ids: readonly string[]): Promise<PolicyRecord[]> {
  const { rows } = await client.query<PolicyRow>("SELECT * FROM policy.policies WHERE id = ANY($1)", [ids]);
  return rows.map(toRecord);
}

export async function findPolicy(client: ClientBase, id: string): Promise<PolicyRecord | undefined> {
  return (await readSomePolicies(client, [id]))[0];
}

export function toRecord(row: PolicyRow): PolicyRecord {
  return {
    id: row.id,
    description: row.description,
    tenant: row.tenant,
    effect: row.effect,
    principals: row.principals,
    actions: row.actions,
    resources: row.resources,
    conditions: row.conditions,
    record: row.record,
    cedarText: row.cedar ?? "",
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

const WRITTEN = "id, description, tenant, effect, principals, actions, resources, conditions, record, cedar";

function writtenValues(policy: WrittenPolicy): unknown[] {
  return [
    policy.id,
    policy.description,
    policy.tenant,
    policy.effect,
    policy.principals,
    policy.actions,
    policy.resources,
    JSON.stringify(policy.conditions),
    policy.record,
    policy.cedarText === "" ? null : policy.cedarText,
  ];
}

/** Creates or replaces. Versions count on from those of an earlier policy of the same id. */
export async function putPolicy(client: ClientBase, policy: WrittenPolicy, author: Author): Promise<void> {
  const values = [...writtenValues(policy), author.source, author.actor];
  const { rows } = await client.query<{ version: string }>(
    `INSERT INTO policy.policy_history (${WRITTEN}, source, changed_by, version, change)
     SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, coalesce(max(version), 0) + 1, 'put'
     FROM policy.policy_history WHERE id = $1
     RETURNING version`,
    values,
  );
  await client.query(
    `INSERT INTO policy.policies (${WRITTEN}, source, updated_by, version)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
     ON CONFLICT (id) DO UPDATE SET description = excluded.description, tenant = excluded.tenant,
       effect = excluded.effect, principals = excluded.principals, actions = excluded.actions,
       resources = excluded.resources, conditions = excluded.conditions, record = excluded.record, cedar = excluded.cedar,
       source = excluded.source, version = excluded.version, updated_at = now(), updated_by = excluded.updated_by`,
    [...values, rows[0]!.version],
  );
}

export async function deletePolicy(client: ClientBase, policy: PolicyRecord, actor: string): Promise<void> {
  await client.query("DELETE FROM policy.policies WHERE id = $1", [policy.id]);
  await client.query(
    `INSERT INTO policy.policy_history (${WRITTEN}, source, changed_by, version, change)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'delete')`,
    [...writtenValues(policy), policy.source, actor, policy.version + 1],
  );
}
