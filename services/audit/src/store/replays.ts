import { auditV1 } from "@tollgate/contracts";
import type { ClientBase } from "pg";

/** Ended ones that are still shown. */
const ENDED_KEPT_MAX = 1_000;

type Client = Pick<ClientBase, "query">;

export type ReplayStatus = "running" | "done" | "failed" | "cancelled";

/** Events of the record that are sent to an export once more. */
export interface Replay {
  readonly id: string;
  readonly export: string;
  readonly filter: auditV1.EventFilter;
  readonly status: ReplayStatus;
  readonly sent: number;
  /** Events that fit; undefined until they were counted. */
  readonly total: number | undefined;
  /** The last event that was sent. */
  readonly lastEvent: string | undefined;
  readonly problem: string;
  readonly by: string;
  readonly startedAtMs: number;
  /** 0 while it runs. */
  readonly endedAtMs: number;
}

interface Row {
  readonly id: string;
  readonly export: string;
  readonly filter: PlainFilter;
  readonly status: ReplayStatus;
  readonly sent: string;
  readonly total: string | null;
  readonly last_event: string | null;
  readonly problem: string;
  readonly started_by: string;
  readonly started_at: Date;
  readonly ended_at: Date | null;
}

type PlainFilter = Omit<auditV1.EventFilter, "fromMs" | "toMs"> & { readonly fromMs: number; readonly toMs: number };

/** JSON has no integers of 64 bits. */
export function plainFilter({ fromMs, toMs, ...texts }: auditV1.EventFilter): PlainFilter {
  return { ...texts, fromMs: Number(fromMs), toMs: Number(toMs) };
}

/** One that an older version has stored may lack a member. */
function toFilter({ fromMs, toMs, ...texts }: PlainFilter): auditV1.EventFilter {
  return { ...auditV1.EventFilter.create(), ...texts, fromMs: BigInt(fromMs), toMs: BigInt(toMs) };
}

const toReplay = (row: Row): Replay => ({
  id: row.id,
  export: row.export,
  filter: toFilter(row.filter),
  status: row.status,
  sent: Number(row.sent),
  total: row.total === null ? undefined : Number(row.total),
  lastEvent: row.last_event ?? undefined,
  problem: row.problem,
  by: row.started_by,
  startedAtMs: row.started_at.getTime(),
  endedAtMs: row.ended_at?.getTime() ?? 0,
});

/** Newest first. */
export async function listReplays(client: Client): Promise<Replay[]> {
  const { rows } = await client.query<Row>("SELECT * FROM audit.replays ORDER BY started_at DESC, id DESC");
  return rows.map(toReplay);
}

export async function listRunning(client: Client): Promise<Replay[]> {
  const { rows } = await client.query<Row>(
    "SELECT * FROM audit.replays WHERE status = 'running' ORDER BY started_at, id",
  );
  return rows.map(toReplay);
}

/** Locked until the transaction ends, so that no two of them are one too many. */
export async function countRunning(client: Client): Promise<number> {
  await client.query("LOCK TABLE audit.replays IN SHARE ROW EXCLUSIVE MODE");
  const { rows } = await client.query<{ count: number }>(
    "SELECT count(*)::integer AS count FROM audit.replays WHERE status = 'running'",
  );
  return rows[0]!.count;
}

export async function insertReplay(client: Client, replay: Replay): Promise<void> {
  await client.query(
    `INSERT INTO audit.replays (id, export, filter, status, started_by, started_at) VALUES ($1, $2, $3, $4, $5, $6)`,
    [
      replay.id,
      replay.export,
      JSON.stringify(plainFilter(replay.filter)),
      replay.status,
      replay.by,
      new Date(replay.startedAtMs),
    ],
  );
  await client.query(
    `DELETE FROM audit.replays WHERE id IN (
       SELECT id FROM audit.replays WHERE status <> 'running' ORDER BY ended_at DESC OFFSET ${ENDED_KEPT_MAX})`,
  );
}

export async function writeTotal(client: Client, id: string, total: number): Promise<void> {
  await client.query("UPDATE audit.replays SET total = $2 WHERE id = $1", [id, total]);
}

/** False when it does not run any more: somebody has cancelled it, or another replica is further. */
export async function addReplayed(
  client: Client,
  id: string,
  progress: { sent: number; from: string | undefined; lastEvent: string },
): Promise<boolean> {
  const { rowCount } = await client.query(
    `UPDATE audit.replays SET sent = sent + $2, last_event = $4
     WHERE id = $1 AND status = 'running' AND last_event IS NOT DISTINCT FROM $3::uuid`,
    [id, progress.sent, progress.from, progress.lastEvent],
  );
  return rowCount === 1;
}

export async function writeReplayProblem(client: Client, id: string, problem: string): Promise<void> {
  await client.query("UPDATE audit.replays SET problem = $2 WHERE id = $1 AND status = 'running'", [id, problem]);
}

/** The replay as it ends; undefined when there is none that runs. */
export async function endReplay(
  client: Client,
  id: string,
  { status, problem }: { status: Exclude<ReplayStatus, "running">; problem: string },
): Promise<Replay | undefined> {
  const { rows } = await client.query<Row>(
    `UPDATE audit.replays SET status = $2, problem = $3, ended_at = now(),
       total = CASE WHEN $2 = 'done' THEN sent ELSE total END
     WHERE id = $1 AND status = 'running' RETURNING *`,
    [id, status, problem],
  );
  return rows[0] && toReplay(rows[0]);
}

export async function readReplay(client: Client, id: string): Promise<Replay | undefined> {
  const { rows } = await client.query<Row>("SELECT * FROM audit.replays WHERE id = $1", [id]);
  return rows[0] && toReplay(rows[0]);
}
