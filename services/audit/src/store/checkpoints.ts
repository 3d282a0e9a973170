import {
  type Chain,
  chainName,
  type Checkpoint,
  CHECKPOINT_EVENTS_MAX,
  type Cut,
  parseCheckpoint,
  parseCut,
} from "@tollgate/evidence";
import type { ClientBase } from "pg";

type Client = Pick<ClientBase, "query">;

/** A chain's end and how far it is signed. */
export interface ChainState extends Chain {
  readonly firstNumber: number;
  readonly number: number;
  readonly hash: Buffer;
  /** The latest one. */
  readonly checkpoint?: Checkpoint;
  /** There is one that is none, or another one than its row says. */
  readonly isUnreadable: boolean;
}

/** @param uncoveredMin only chains with at least so many events that no checkpoint covers */
export async function readChains(
  client: Client,
  filter: { tenant?: string; kind?: string; uncoveredMin?: number },
): Promise<ChainState[]> {
  const { rows } = await client.query<{
    tenant: string;
    kind: string;
    first_number: string;
    number: string;
    hash: Buffer;
    latest_from: string | null;
    latest_number: string | null;
    checkpoint: string | null;
  }>({
    name: "read-chains",
    text: `
      SELECT chain.tenant, chain.kind, chain.first_number, chain.number, chain.hash,
        latest.from_number AS latest_from, latest.number AS latest_number, latest.checkpoint
      FROM audit.chains AS chain LEFT JOIN LATERAL (
        SELECT from_number, number, checkpoint FROM audit.checkpoints
        WHERE tenant = chain.tenant AND kind = chain.kind ORDER BY from_number DESC LIMIT 1
      ) AS latest ON true
      WHERE ($1 = '' OR chain.tenant = $1) AND ($2 = '' OR chain.kind = $2)
        AND ($3 = 0 OR chain.number - coalesce(latest.number, 0) >= $3)
      ORDER BY chain.tenant, chain.kind`,
    values: [filter.tenant ?? "", filter.kind ?? "", filter.uncoveredMin ?? 0],
  });
  return rows.map((row) => {
    const { tenant, kind, hash } = row;
    const numbers = { firstNumber: Number(row.first_number), number: Number(row.number) };
    if (row.checkpoint === null) return { tenant, kind, ...numbers, hash, isUnreadable: false };
    const latest = { from_number: row.latest_from!, number: row.latest_number!, checkpoint: row.checkpoint };
    const checkpoint = checkpointOfRow(row, latest);
    return {
      tenant,
      kind,
      ...numbers,
      hash,
      isUnreadable: checkpoint === undefined,
      ...(checkpoint && { checkpoint }),
    };
  });
}

interface StoredCheckpoint {
  readonly from_number: string;
  readonly number: string;
  readonly checkpoint: string;
}

/** Undefined where it is none, or says something else than its row. */
function checkpointOfRow(chain: Chain, row: StoredCheckpoint): Checkpoint | undefined {
  const checkpoint = parseCheckpoint(row.checkpoint);
  if (checkpoint === undefined || chainName(checkpoint) !== chainName(chain)) return undefined;
  return checkpoint.from === Number(row.from_number) && checkpoint.to === Number(row.number) ? checkpoint : undefined;
}

/** Of the checkpoints that go no further than `to`, and begin at `from` or after it, the last that can be read. */
export async function lastCheckpoint(
  client: Client,
  chain: Chain,
  { from, to }: { from: number; to: number },
): Promise<Checkpoint | undefined> {
  const { rows } = await client.query<StoredCheckpoint>(
    `SELECT from_number, number, checkpoint FROM audit.checkpoints
     WHERE tenant = $1 AND kind = $2 AND from_number >= $3 AND from_number < $4 AND number <= $4
     ORDER BY from_number DESC LIMIT ${UNREADABLE_MAX}`,
    [chain.tenant, chain.kind, from, to],
  );
  for (const row of rows) {
    const checkpoint = checkpointOfRow(chain, row);
    if (checkpoint !== undefined) return checkpoint;
  }
  return undefined;
}

/** Behind so many that cannot be read nobody looks for another one. */
const UNREADABLE_MAX = 1_000;

/** The one that ends with this number; its leaves are many, and stay where they are. */
export async function checkpointAt(client: Client, chain: Chain, number: number): Promise<Checkpoint | undefined> {
  const from = Math.max(0, number - CHECKPOINT_EVENTS_MAX);
  const checkpoint = await lastCheckpoint(client, chain, { from, to: number });
  return checkpoint?.to === number ? checkpoint : undefined;
}

export interface Leaves {
  readonly count: number;
  readonly leaves: Buffer;
  /** The stored hash of the last one. */
  readonly hash: Buffer;
  readonly firstTime: Date;
  readonly lastTime: Date;
}

/** The leaves of stored events: hashed where they lie, since the events themselves are thirty times as much. */
export async function readLeaves(
  client: Client,
  { tenant, kind }: Chain,
  from: number,
  to: number,
): Promise<Leaves | undefined> {
  const { rows } = await client.query<{
    count: number;
    leaves: Buffer;
    hash: Buffer;
    first_time: Date;
    last_time: Date;
  }>({
    name: "read-leaves",
    text: `
      SELECT count(*)::integer AS count, min(time) AS first_time, max(time) AS last_time,
        string_agg(sha256('\\x00'::bytea || convert_to(event, 'UTF8')), ''::bytea ORDER BY number) AS leaves,
        (array_agg(hash) FILTER (WHERE number = $4))[1] AS hash
      FROM audit.events WHERE tenant = $1 AND kind = $2 AND number > $3 AND number <= $4`,
    values: [tenant, kind, from, to],
  });
  const row = rows[0]!;
  if (row.count === 0 || row.hash === null) return undefined;
  return { ...row, firstTime: row.first_time, lastTime: row.last_time };
}

export interface CheckpointRow {
  readonly checkpoint: Checkpoint;
  readonly leaves: Buffer;
}

/** One that begins where another does is left out: somebody else was quicker. */
export async function insertCheckpoint(
  client: Client,
  { checkpoint, leaves }: CheckpointRow,
  times: Pick<Leaves, "firstTime" | "lastTime">,
): Promise<boolean> {
  const { tenant, kind, from, to } = checkpoint;
  const { rowCount } = await client.query({
    name: "insert-checkpoint",
    text: `INSERT INTO audit.checkpoints (tenant, kind, from_number, number, first_time, last_time, checkpoint, leaves)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
    values: [tenant, kind, from, to, times.firstTime, times.lastTime, JSON.stringify(checkpoint), leaves],
  });
  return rowCount === 1;
}

/** As it is stored: nothing of it is proven. */
export interface NextCheckpoint extends Pick<Leaves, "firstTime" | "lastTime"> {
  readonly from: number;
  readonly to: number;
  readonly checkpoint: string;
  readonly leaves: Buffer;
}

/** The first one that begins at this number or after it, as it is stored. */
export async function nextCheckpoint(
  client: Client,
  { tenant, kind }: Chain,
  from: number,
): Promise<NextCheckpoint | undefined> {
  const { rows } = await client.query<StoredCheckpoint & { leaves: Buffer; first_time: Date; last_time: Date }>({
    name: "next-checkpoint",
    text: `SELECT from_number, number, checkpoint, leaves, first_time, last_time FROM audit.checkpoints
           WHERE tenant = $1 AND kind = $2 AND from_number >= $3 ORDER BY from_number LIMIT 1`,
    values: [tenant, kind, from],
  });
  const row = rows[0];
  if (row === undefined) return undefined;
  const { checkpoint, leaves } = row;
  const times = { firstTime: row.first_time, lastTime: row.last_time };
  return { from: Number(row.from_number), to: Number(row.number), checkpoint, leaves, ...times };
}

/** The one that covers this number; undefined where it cannot be read, as well. */
export async function checkpointOver(
  client: Client,
  { tenant, kind }: Chain,
  number: number,
): Promise<CheckpointRow | undefined> {
  const { rows } = await client.query<{ checkpoint: string; leaves: Buffer }>(
    `SELECT checkpoint, leaves FROM audit.checkpoints
     WHERE tenant = $1 AND kind = $2 AND from_number < $3 AND number >= $3 ORDER BY from_number DESC LIMIT 1`,
    [tenant, kind, number],
  );
  const checkpoint = rows[0] && parseCheckpoint(rows[0].checkpoint);
  return checkpoint && { checkpoint, leaves: rows[0]!.leaves };
}

/** From where to where the segments go that hold an event of this time; undefined where none does. */
export async function rangeOfTime(
  client: Client,
  { tenant, kind }: Chain,
  times: { fromMs: number; toMs: number },
): Promise<{ from: number; to: number } | undefined> {
  const { rows } = await client.query<{ first: string | null; last: string | null }>(
    `SELECT min(c.from_number) AS first, max(c.number) AS last
     FROM audit.checkpoints AS c JOIN audit.chains AS chain USING (tenant, kind)
     WHERE tenant = $1 AND kind = $2 AND c.from_number >= chain.first_number - 1
       AND c.last_time >= to_timestamp($3::float8 / 1000)
       AND ($4::float8 = 0 OR c.first_time < to_timestamp($4::float8 / 1000))`,
    [tenant, kind, times.fromMs, times.toMs],
  );
  const { first, last } = rows[0]!;
  return first === null || last === null ? undefined : { from: Number(first), to: Number(last) };
}

export interface StoredCut extends Chain {
  /** Undefined where it cannot be read. */
  readonly cut: Cut | undefined;
}

/** At most one of each chain. */
export async function readCuts(client: Client): Promise<StoredCut[]> {
  const { rows } = await client.query<Chain & { cut: string }>("SELECT tenant, kind, cut FROM audit.cuts");
  return rows.map((row) => toCut(row));
}

export async function readCut(client: Client, { tenant, kind }: Chain): Promise<Cut | undefined> {
  const { rows } = await client.query<Chain & { cut: string }>(
    "SELECT tenant, kind, cut FROM audit.cuts WHERE tenant = $1 AND kind = $2",
    [tenant, kind],
  );
  return rows[0] && toCut(rows[0]).cut;
}

function toCut({ tenant, kind, cut: text }: Chain & { cut: string }): StoredCut {
  const cut = parseCut(text);
  return { tenant, kind, cut: cut?.tenant === tenant && cut.kind === kind ? cut : undefined };
}

export async function readRegister(client: Client): Promise<string | undefined> {
  const { rows } = await client.query<{ register: string }>("SELECT register FROM audit.register");
  return rows[0]?.register;
}

export async function insertRegister(client: Client, register: string): Promise<void> {
  await client.query("INSERT INTO audit.register (register) VALUES ($1)", [register]);
}

/** Only in the place of the one that it follows from: one that is gone does not come back. */
export async function replaceRegister(client: Client, before: string, register: string): Promise<void> {
  await client.query("UPDATE audit.register SET register = $2 WHERE register = $1", [before, register]);
}

export async function readChainEnd(
  client: Client,
  { tenant, kind }: Chain,
): Promise<{ firstNumber: number; number: number; hash: Buffer } | undefined> {
  const { rows } = await client.query<{ first_number: string; number: string; hash: Buffer }>({
    name: "chain-end",
    text: "SELECT first_number, number, hash FROM audit.chains WHERE tenant = $1 AND kind = $2",
    values: [tenant, kind],
  });
  const row = rows[0];
  return row && { firstNumber: Number(row.first_number), number: Number(row.number), hash: row.hash };
}

/** Chains that have an end, an event or a checkpoint. Events are many, so they are not all looked at. */
export async function readAllChains(client: Client): Promise<Chain[]> {
  const { rows } = await client.query<Chain>(
    `WITH RECURSIVE stored AS (
       (SELECT tenant, kind FROM audit.events ORDER BY tenant, kind LIMIT 1)
       UNION ALL
       SELECT next.tenant, next.kind FROM stored, LATERAL (
         SELECT tenant, kind FROM audit.events WHERE (tenant, kind) > (stored.tenant, stored.kind)
         ORDER BY tenant, kind LIMIT 1
       ) AS next
     )
     SELECT tenant, kind FROM stored
     UNION SELECT tenant, kind FROM audit.chains
     UNION SELECT tenant, kind FROM audit.checkpoints
     ORDER BY tenant, kind`,
  );
  return rows;
}
