import type { Pool } from "@tollgate/service";

export interface TokenUse {
  readonly tenant: string;
  readonly name: string;
  readonly atMs: number;
}

/** Of tokens that there are; replicas may say it in any order. */
export async function writeTokenUses(pool: Pool, uses: readonly TokenUse[]): Promise<void> {
  await pool.query(
    `INSERT INTO policy.token_uses (name, used_at)
     SELECT t.name, u.used_at FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS u (name, tenant, used_at)
       JOIN policy.tokens t USING (name, tenant)
     ON CONFLICT (name) DO UPDATE SET used_at = greatest(policy.token_uses.used_at, excluded.used_at)`,
    [uses.map(({ name }) => name), uses.map(({ tenant }) => tenant), uses.map(({ atMs }) => new Date(atMs))],
  );
}

/** By the tokens' names, in Unix milliseconds. */
export async function readTokenUses(pool: Pool): Promise<Map<string, number>> {
  const { rows } = await pool.query<{ name: string; used_at: Date }>("SELECT name, used_at FROM policy.token_uses");
  return new Map(rows.map(({ name, used_at: usedAt }) => [name, usedAt.getTime()]));
}
