import type { ClientBase } from "pg";
import type { Source } from "../domain/policy.ts";
import type { KnownPrincipal, NewPrincipal, PrincipalRecords, RoleRecord } from "../domain/principal.ts";

interface PrincipalRow {
  tenant: string;
  id: string;
  team: string;
  roles: string[];
  withdrawn_roles: string[];
  disabled: boolean;
  note: string;
  source: Source;
  updated_at: Date;
  updated_by: string;
}

export async function readPrincipals(client: ClientBase): Promise<PrincipalRecords> {
  const principals = await client.query<PrincipalRow>("SELECT * FROM policy.principals ORDER BY tenant, id");
  const roles = await client.query<RoleRecord>(
    "SELECT tenant, name, description, disabled FROM policy.roles ORDER BY tenant, name",
  );
  return { principals: principals.rows.map(toRecord), roles: roles.rows };
}

export async function findPrincipal(
  client: ClientBase,
  { tenant, id }: { tenant: string; id: string },
): Promise<KnownPrincipal | undefined> {
  const { rows } = await client.query<PrincipalRow>("SELECT * FROM policy.principals WHERE tenant = $1 AND id = $2", [
    tenant,
    id,
  ]);
  return rows[0] && toRecord(rows[0]);
}

function toRecord({ withdrawn_roles: withdrawnRoles, updated_at, updated_by, ...row }: PrincipalRow): KnownPrincipal {
  return { ...row, withdrawnRoles, updatedAtMs: updated_at.getTime(), updatedBy: updated_by };
}

export async function countPrincipals(client: ClientBase): Promise<number> {
  const { rows } = await client.query<{ count: number }>("SELECT count(*)::integer AS count FROM policy.principals");
  return rows[0]!.count;
}

export async function putPrincipal(
  client: ClientBase,
  principal: NewPrincipal,
  { source, actor }: { source: Source; actor: string },
): Promise<void> {
  const { tenant, id, team, roles, withdrawnRoles, disabled, note } = principal;
  await client.query(
    `INSERT INTO policy.principals (tenant, id, team, roles, withdrawn_roles, disabled, note, source, updated_by)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
     ON CONFLICT (tenant, id) DO UPDATE SET team = excluded.team, roles = excluded.roles,
       withdrawn_roles = excluded.withdrawn_roles, disabled = excluded.disabled, note = excluded.note,
       source = excluded.source, updated_at = now(), updated_by = excluded.updated_by`,
    [tenant, id, team, roles, withdrawnRoles, disabled, note, source, actor],
  );
}

export async function removePrincipal(
  client: ClientBase,
  { tenant, id }: { tenant: string; id: string },
): Promise<void> {
  await client.query("DELETE FROM policy.principals WHERE tenant = $1 AND id = $2", [tenant, id]);
}

export async function findRole(
  client: ClientBase,
  { tenant, name }: { tenant: string; name: string },
): Promise<RoleRecord | undefined> {
  const { rows } = await client.query<RoleRecord>(
    "SELECT tenant, name, description, disabled FROM policy.roles WHERE tenant = $1 AND name = $2",
    [tenant, name],
  );
  return rows[0];
}

export async function countRoles(client: ClientBase): Promise<number> {
  const { rows } = await client.query<{ count: number }>("SELECT count(*)::integer AS count FROM policy.roles");
  return rows[0]!.count;
}

export async function putRole(client: ClientBase, role: RoleRecord, actor: string): Promise<void> {
  const { tenant, name, description, disabled } = role;
  await client.query(
    `INSERT INTO policy.roles (tenant, name, description, disabled, updated_by) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (tenant, name) DO UPDATE SET description = excluded.description, disabled = excluded.disabled,
       updated_at = now(), updated_by = excluded.updated_by`,
    [tenant, name, description, disabled, actor],
  );
}
