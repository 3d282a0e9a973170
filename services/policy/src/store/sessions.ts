import type { ClientBase } from "pg";

/** What gateways are told of; older ones are gone from their own store by then. */
const ENDED_MAX = 1_000;

/** Newest first. */
export async function readEndedSessions(client: ClientBase): Promise<string[]> {
  const { rows } = await client.query<{ session: string }>(
    `SELECT session FROM policy.ended_sessions ORDER BY ended_at DESC, session LIMIT ${ENDED_MAX}`,
  );
  return rows.map(({ session }) => session);
}

/** False when it had ended before. */
export async function endSession(client: ClientBase, session: string, actor: string): Promise<boolean> {
  await client.query("DELETE FROM policy.ended_sessions WHERE ended_at < now() - interval '24 hours'");
  const { rowCount } = await client.query(
    "INSERT INTO policy.ended_sessions (session, ended_by) VALUES ($1, $2) ON CONFLICT (session) DO NOTHING",
    [session, actor],
  );
  return rowCount === 1;
}
