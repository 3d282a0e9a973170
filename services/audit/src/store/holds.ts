import type { ClientBase } from "pg";
import type { Hold } from "../domain/holds.ts";

const RELEASED_SHOWN_MAX = 1_000;

type Client = Pick<ClientBase, "query">;

interface HoldRow {
  readonly id: string;
  readonly tenant: string;
  readonly kind: string;
  readonly from_time: Date | null;
  readonly to_time: Date | null;
  readonly reason: string;
  readonly created_by: string;
  readonly created_at: Date;
  readonly released_by: string | null;
  readonly released_at: Date | null;
}

/** Those that hold, and the newest of those that were released; newest first. @param tenant empty: of all */
export async function listHolds(client: Client, tenant: string): Promise<Hold[]> {
  const { rows } = await client.query<HoldRow>(
    `(SELECT * FROM audit.holds WHERE released_at IS NULL AND ($1 = '' OR tenant = $1))
     UNION ALL
     (SELECT * FROM audit.holds WHERE released_at IS NOT NULL AND ($1 = '' OR tenant = $1)
      ORDER BY released_at DESC LIMIT ${RELEASED_SHOWN_MAX})
     ORDER BY created_at DESC, id DESC`,
    [tenant],
  );
  return rows.map(toHold);
}

/** Those that hold now. */
export async function activeHolds(client: Client): Promise<Hold[]> {
  const { rows } = await client.query<HoldRow>(
    "SELECT * FROM audit.holds WHERE released_at IS NULL ORDER BY created_at, id",
  );
  return rows.map(toHold);
}

/** Until the transaction ends no hold is put or released: whoever lets go of events goes by what is there now. */
export async function lockHolds(client: Client): Promise<void> {
  await client.query("LOCK TABLE audit.holds IN SHARE MODE");
}

export async function countActiveHolds(client: Client): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    "SELECT count(*)::integer AS count FROM audit.holds WHERE released_at IS NULL",
  );
  return rows[0]!.count;
}

export async function insertHold(client: Client, hold: Hold): Promise<void> {
  const time = (ms: number | undefined): Date | null => (ms === undefined ? null : new Date(ms));
  await client.query(
    `INSERT INTO audit.holds (id, tenant, kind, from_time, to_time, reason, created_by, created_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [
      hold.id,
      hold.tenant,
      hold.kind,
      time(hold.fromMs),
      time(hold.toMs),
      hold.reason,
      hold.createdBy,
      time(hold.createdAtMs),
    ],
  );
}

/** Locked, so that it is released once. @param tenant empty: of any */
export async function readHold(client: Client, id: string, tenant: string): Promise<Hold | undefined> {
  const { rows } = await client.query<HoldRow>(
    "SELECT * FROM audit.holds WHERE id = $1 AND ($2 = '' OR tenant = $2) FOR UPDATE",
    [id, tenant],
  );
  return rows[0] && toHold(rows[0]);
}

export async function markReleased(client: Client, id: string, released: { by: string; atMs: number }): Promise<void> {
  await client.query("UPDATE audit.holds SET released_by = $2, released_at = $3 WHERE id = $1", [
    id,
    released.by,
    new Date(released.atMs),
  ]);
}

function toHold(row: HoldRow): Hold {
  const { id, tenant, kind, reason, created_by: createdBy } = row;
  return {
    id,
    tenant,
    kind,
    ...(row.from_time === null ? {} : { fromMs: row.from_time.getTime() }),
    ...(row.to_time === null ? {} : { toMs: row.to_time.getTime() }),
    reason,
    createdBy,
    createdAtMs: row.created_at.getTime(),
    ...(row.released_at === null ? {} : { released: { by: row.released_by ?? "", atMs: row.released_at.getTime() } }),
  };
}
