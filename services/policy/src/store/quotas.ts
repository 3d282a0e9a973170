import { type Pool, withTransaction } from "@tollgate/service";

/** A key's day, such as 2026-11-21. */
export interface QuotaDay {
  readonly key: string;
  readonly day: string;
}

/**
 * Takes from what is left of a day. Committed when it returns: a permit that a gateway has is one that nobody else gets,
 * whatever crashes.
 * @param howMany how many to take of what was used so far
 * @returns what `howMany` has said
 */
export async function takeQuota(
  pool: Pool,
  { key, day }: QuotaDay,
  howMany: (used: number) => number,
): Promise<number> {
  return withTransaction(pool, async (client) => {
    await client.query("INSERT INTO policy.quota_days (key, day, used) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING", [
      key,
      day,
    ]);
    const { rows } = await client.query<{ used: string }>(
      "SELECT used FROM policy.quota_days WHERE key = $1 AND day = $2 FOR UPDATE",
      [key, day],
    );
    const used = Number(rows[0]!.used);
    const taken = howMany(used);
    if (taken > 0)
      await client.query("UPDATE policy.quota_days SET used = used + $3 WHERE key = $1 AND day = $2", [
        key,
        day,
        taken,
      ]);
    return taken;
  });
}

/** Permits that were not used. */
export async function returnQuota(pool: Pool, { key, day }: QuotaDay, count: number): Promise<void> {
  await pool.query("UPDATE policy.quota_days SET used = greatest(0, used - $3) WHERE key = $1 AND day = $2", [
    key,
    day,
    count,
  ]);
}

/** Days that are over everywhere on earth. */
export async function sweepQuotas(pool: Pool): Promise<void> {
  await pool.query("DELETE FROM policy.quota_days WHERE day < current_date - 2");
}
