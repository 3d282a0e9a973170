import type { ClientBase } from "pg";
import { sameTexts } from "../domain/policy.ts";
import type { TokenRecord, WantedToken } from "../domain/token.ts";

interface TokenRow {
  name: string;
  tenant: string;
  team: string;
  roles: string[];
  permissions: string[];
  sha256: Buffer;
  source: string;
  created_at: Date;
  expires_at: Date | null;
  revoked_at: Date | null;
}

const SELECT =
  "SELECT t.*, r.revoked_at FROM policy.tokens t LEFT JOIN policy.revocations r USING (sha256) ORDER BY t.name";

export async function readTokens(client: ClientBase): Promise<TokenRecord[]> {
  const { rows } = await client.query<TokenRow>(SELECT);
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
    createdAtMs: row.created_at.getTime(),
    expiresAtMs: row.expires_at?.getTime(),
    revokedAtMs: row.revoked_at?.getTime(),
  };
}

/** Makes the tokens of the file what is wanted. Returns whether anything changed. */
export async function replaceFileTokens(client: ClientBase, wanted: readonly WantedToken[]): Promise<boolean> {
  const { rows } = await client.query<TokenRow>(SELECT);
  const wantedByName = new Map(wanted.map((token) => [token.name, token]));
  const stored = new Map(rows.map((row) => [row.name, row]));
  // A token with another secret is another token. All old ones go first, since secrets may have swapped names.
  const gone = rows.filter(({ name, source, sha256 }) => {
    const token = wantedByName.get(name);
    return token === undefined ? source === "file" : !token.sha256.equals(sha256);
  });
  for (const { name } of gone) stored.delete(name);
  const changed = wanted.filter((token) => {
    const row = stored.get(token.name);
    return row === undefined || row.source !== "file" || !sameToken(toRecord(row), token);
  });
  if (gone.length > 0)
    await client.query("DELETE FROM policy.tokens WHERE name = ANY($1)", [gone.map(({ name }) => name)]);
  for (const token of changed) await putFileToken(client, token);
  return gone.length > 0 || changed.length > 0;
}

async function putFileToken(client: ClientBase, token: WantedToken): Promise<void> {
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

function sameToken(one: WantedToken, other: WantedToken): boolean {
  return (
    one.tenant === other.tenant &&
    one.team === other.team &&
    one.expiresAtMs === other.expiresAtMs &&
    sameTexts(one.roles, other.roles) &&
    sameTexts(one.permissions, other.permissions)
  );
}

export async function revokeToken(client: ClientBase, token: TokenRecord, actor: string): Promise<void> {
  await client.query("INSERT INTO policy.revocations (sha256, name, revoked_by) VALUES ($1, $2, $3)", [
    token.sha256,
    token.name,
    actor,
  ]);
}
