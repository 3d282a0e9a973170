import type { Pool } from "@tollgate/service";
import type { ClientBase } from "pg";
import type { Crossing } from "../domain/budgets.ts";

/** Longer than any period. */
const KEPT_INTERVAL = "70 days";

/** False when it was told before. */
export async function insertCrossing(client: ClientBase, crossing: Crossing): Promise<boolean> {
  const { budget, amount, limitKey, periodFrom, threshold } = crossing;
  const { rowCount } = await client.query(
    `INSERT INTO policy.budget_alerts (budget, amount, key, period_from, threshold) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT DO NOTHING`,
    [budget, amount, limitKey, new Date(periodFrom), threshold],
  );
  return rowCount === 1;
}

/** Forgets those of periods that are long over. */
export async function sweepCrossings(client: ClientBase): Promise<void> {
  await client.query(`DELETE FROM policy.budget_alerts WHERE period_from < now() - interval '${KEPT_INTERVAL}'`);
}

/** A request that waits to be made. */
export interface WaitingWebhook {
  /** Of the event that it tells of. */
  readonly id: string;
  readonly budget: string;
  readonly body: string;
}

export async function insertWebhook(client: ClientBase, { id, budget, body }: WaitingWebhook): Promise<void> {
  await client.query("INSERT INTO policy.webhooks (id, budget, body) VALUES ($1, $2, $3)", [id, budget, body]);
}

/** The one whose turn it is, if any. It is nobody else's for so long; then, if it is still there, it comes again. */
export async function claimWebhook(
  pool: Pool,
  leaseMs: number,
): Promise<(WaitingWebhook & { readonly attempts: number }) | undefined> {
  const { rows } = await pool.query<WaitingWebhook & { attempts: number }>(
    `UPDATE policy.webhooks SET attempts = attempts + 1, next_at = now() + $1 * interval '1 millisecond'
     WHERE id = (SELECT id FROM policy.webhooks WHERE next_at <= now() ORDER BY next_at, id LIMIT 1
       FOR UPDATE SKIP LOCKED)
     RETURNING id, budget, body, attempts`,
    [leaseMs],
  );
  return rows[0];
}

export async function postponeWebhook(pool: Pool, id: string, delayMs: number): Promise<void> {
  await pool.query("UPDATE policy.webhooks SET next_at = now() + $2 * interval '1 millisecond' WHERE id = $1", [
    id,
    delayMs,
  ]);
}

export async function deleteWebhook(pool: Pool, id: string): Promise<void> {
  await pool.query("DELETE FROM policy.webhooks WHERE id = $1", [id]);
}
