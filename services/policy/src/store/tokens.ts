import type { ClientBase } from "pg";
import type { Source } from "../domain/policy.ts";
import type { NewToken, TokenRecord, WantedToken } from "../domain/token.ts";

interface TokenRow {
  name: string;
  tenant: string;
  team: string;
  roles: string[];
  permissions: string[];
  agent: string;
  sha256: Buffer;
  previous_sha256: Buffer | null;
  previous_until: Date | null;
  created_by: string;
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
  const { previous_sha256: sha256, previous_until: until } = row;
  return {
    name: row.name,
    tenant: row.tenant,
    team: row.team,
    roles: row.roles,
    permissions: row.permissions,
    agent: row.agent,
    sha256: row.sha256,
    previous: sha256 === null || until === null ? undefined : { sha256, untilMs: until.getTime() },
    createdBy: row.created_by,
    source: row.source,
    createdAtMs: row.created_at.getTime(),
    expiresAtMs: row.expires_at?.getTime(),
    revokedAtMs: row.revoked_at?.getTime(),
  };
}

export async function countTokens(client: ClientBase): Promise<number> {
  const { rows } = await client.query<{ count: number }>("SELECT count(*)::integer AS count FROM policy.tokens");
  return rows[0]!.count;
}

export interface Admin {
  readonly name: string;
  readonly tenant: string;
  readonly agent: string;
}

/** Tokens with which one can administer now. */
export async function readAdmins(client: ClientBase): Promise<Admin[]> {
  const { rows } = await client.query<Admin>(
    `SELECT t.name, t.tenant, t.agent FROM policy.tokens t LEFT JOIN policy.revocations r USING (sha256)
     WHERE 'admin' = ANY(t.permissions) AND r.sha256 IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
       AND (t.agent = '' OR EXISTS (
         SELECT FROM policy.principals p WHERE p.tenant = t.tenant AND p.id = t.agent AND NOT p.disabled))`,
  );
  return rows;
}

/** Usable tokens that stand for the agent. */
export async function readTokensOf(client: ClientBase, agent: { tenant: string; id: string }): Promise<TokenRecord[]> {
  const { rows } = await client.query<TokenRow>(
    `${SELECT} WHERE t.tenant = $1 AND t.agent = $2 AND r.sha256 IS NULL
       AND (t.expires_at IS NULL OR t.expires_at > now()) ORDER BY t.name`,
    [agent.tenant, agent.id],
  );
  return rows.map(toRecord);
}

export async function removeTokens(client: ClientBase, names: readonly string[]): Promise<void> {
  await client.query("DELETE FROM policy.tokens WHERE name = ANY($1)", [names]);
}

/** Tokens of the API that have been of no use for so long. Returns their names. */
export async function removeOldTokens(client: ClientBase, sinceMs: number): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `DELETE FROM policy.tokens t WHERE t.source = 'api' AND (t.expires_at < $1
       OR EXISTS (SELECT FROM policy.revocations r WHERE r.sha256 = t.sha256 AND r.revoked_at < $1)) RETURNING name`,
    [new Date(sinceMs)],
  );
  return rows.map(({ name }) => name);
}

export async function putFileToken(client: ClientBase, token: WantedToken): Promise<void> {
  await client.query(
    `INSERT INTO policy.tokens (name, tenant, team, roles, permissions, agent, sha256, expires_at, source)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'file')
     ON CONFLICT (name) DO UPDATE SET tenant = excluded.tenant, team = excluded.team, roles = excluded.roles,
       permissions = excluded.permissions, agent = excluded.agent, source = excluded.source,
       expires_at = excluded.expires_at, previous_sha256 = NULL, previous_until = NULL, created_by = ''`,
    [...writtenValues(token), token.sha256, dateOf(token.expiresAtMs)],
  );
}

/** @param sha256 of its secret */
export async function insertToken(
  client: ClientBase,
  token: NewToken,
  { sha256, actor }: { sha256: Buffer; actor: string },
): Promise<void> {
  await client.query(
    `INSERT INTO policy.tokens (name, tenant, team, roles, permissions, agent, sha256, expires_at, created_by, source)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'api')`,
    [...writtenValues(token), sha256, dateOf(token.expiresAtMs), actor],
  );
}

function writtenValues({ name, tenant, team, roles, permissions, agent }: NewToken): unknown[] {
  return [name, tenant, team, roles, permissions, agent];
}

/** The present secret becomes the earlier one, and whatever was the earlier one is gone. */
export async function rotateToken(
  client: ClientBase,
  name: string,
  next: { sha256: Buffer; previousUntilMs: number | undefined; expiresAtMs: number | undefined },
): Promise<void> {
  await client.query(
    `UPDATE policy.tokens SET sha256 = $2, previous_sha256 = CASE WHEN $3::timestamptz IS NULL THEN NULL ELSE sha256 END,
       previous_until = $3, expires_at = $4 WHERE name = $1`,
    [name, next.sha256, dateOf(next.previousUntilMs), dateOf(next.expiresAtMs)],
  );
}

/** Both of its secrets. */
export async function revokeToken(client: ClientBase, token: TokenRecord, actor: string): Promise<void> {
  const hashes = [token.sha256, ...(token.previous ? [token.previous.sha256] : [])];
  await client.query(
    "INSERT INTO policy.revocations (sha256, name, revoked_by) SELECT unnest($1::bytea[]), $2, $3 ON CONFLICT DO NOTHING",
    [hashes, token.name, actor],
  );
}

function dateOf(ms: number | undefined): Date | null {
  return ms === undefined ? null : new Date(ms);
}
