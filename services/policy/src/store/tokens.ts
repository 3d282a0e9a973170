import type { ClientBase } from "pg";
import type { Source } from "../domain/policy.ts";
import type { TokenRecord, WantedToken } from "../domain/token.ts";

interface TokenRow {
  name: string;
  tenant: string;
  team: string;
  roles: string[];
  permissions: string[];
  sha256: Buffer;
  source: Source;
  created_at: Date;
  expires_at: Date | null;
  revoked_at: Date | null;
}

const SELECT = "SELECT t.*, r.revoked_at FROM policy.tokens t LEFT JOIN policy.revocations r USING (sha256)";

export async function readTokens(client: ClientBase): Promise<TokenRecord[]> {
  const { rows } = await client.query<TokenRow>(`${SELECT} ORDER BY t.name`);
  return rows.map(toRecord);
}

/** Those of these names that there are. */
export async function readSomeTokens(client: ClientBase, names: readonly string[]): Promise<TokenRecord[]> {
  const { rows } = await client.query<TokenRow>(`${SELECT} WHERE t.name = ANY($1)`, [names]);
  return rows.map(toRecord);
}

function toRecord(row: TokenRow): TokenRecord {
  return {
    name: row.name,
    tenant: row.tenant,
    team: row.team,
    roles: row.roles,
    permissions: row.permissions,
    sha256: row.sha256,
    source: row.source,
    createdAtMs: row.created_at.getTime(),
    expiresAtMs: row.expires_at?.getTime(),
    revokedAtMs: row.revoked_at?.getTime(),
  };
}

export async function removeTokens(client: ClientBase, names: readonly string[]): Promise<void> {
  await client.query("DELETE FROM policy.tokens WHERE name = ANY($1)", [names]);
}

export async function putFileToken(client: ClientBase, token: WantedToken): Promise<void> {
  await client.query(
    `INSERT INTO policy.tokens (name, tenant, team, roles, permissions, sha256, source, expires_at)
     VALUES ($1, $2, $3, $4, $5, $6, 'file', $7)
     ON CONFLICT (name) DO UPDATE SET tenant = excluded.tenant, team = excluded.team, roles = excluded.roles,
       permissions = excluded.permissions, source = excluded.source, expires_at = excluded.expires_at`,
    [
      token.name,
      token.tenant,
      token.team,
      token.roles,
      token.permissions,
      token.sha256,
      token.expiresAtMs === undefined ? null : new Date(token.expiresAtMs),
    ],
  );
}

export async function revokeToken(client: ClientBase, token: TokenRecord, actor: string): Promise<void> {
  await client.query("INSERT INTO policy.revocations (sha256, name, revoked_by) VALUES ($1, $2, $3)", [
    token.sha256,
    token.name,
    actor,
  ]);
}
