import { type Cut, parseCheckpoint } from "@tollgate/evidence";
import type { ClientBase } from "pg";
import type { Segment } from "../domain/retention.ts";
import type { CheckpointRow } from "./checkpoints.ts";

type Client = Pick<ClientBase, "query">;
type ChainOf = Pick<Segment, "tenant" | "kind">;

interface SegmentRow extends ChainOf {
  readonly from_number: string;
  readonly number: string;
  readonly first_time: Date;
  readonly last_time: Date;
}

/** The oldest segment of each chain that has one. @param tenant empty: of all */
export async function oldestSegments(client: Client, tenant: string): Promise<Segment[]> {
  const { rows } = await client.query<SegmentRow>(
    `SELECT chain.tenant, chain.kind, segment.from_number, segment.number, segment.first_time, segment.last_time
     FROM audit.chains AS chain, LATERAL (
       SELECT * FROM audit.checkpoints
       WHERE tenant = chain.tenant AND kind = chain.kind AND from_number >= chain.first_number - 1
       ORDER BY from_number LIMIT 1
     ) AS segment
     WHERE $1 = '' OR chain.tenant = $1
     ORDER BY chain.tenant, chain.kind`,
    [tenant],
  );
  return rows.map(toSegment);
}

/** Segments of one chain, its oldest first. */
export async function segmentsOf(client: Client, { tenant, kind }: ChainOf, max: number): Promise<Segment[]> {
  const { rows } = await client.query<SegmentRow>(
    `SELECT tenant, kind, from_number, number, first_time, last_time FROM audit.checkpoints
     WHERE tenant = $1 AND kind = $2 AND from_number >= (
       SELECT first_number - 1 FROM audit.chains WHERE tenant = $1 AND kind = $2
     )
     ORDER BY from_number LIMIT $3`,
    [tenant, kind, max],
  );
  return rows.map(toSegment);
}

/** Undefined where it cannot be read, as well. */
export async function readCheckpoint(
  client: Client,
  { tenant, kind, from }: Segment,
): Promise<CheckpointRow | undefined> {
  const { rows } = await client.query<{ checkpoint: string; leaves: Buffer }>(
    "SELECT checkpoint, leaves FROM audit.checkpoints WHERE tenant = $1 AND kind = $2 AND from_number = $3",
    [tenant, kind, from],
  );
  const checkpoint = rows[0] && parseCheckpoint(rows[0].checkpoint);
  return checkpoint && { checkpoint, leaves: rows[0]!.leaves };
}

/** False where another replica was quicker. */
export async function moveFirstNumber(client: Client, { tenant, kind, from, to }: Segment): Promise<boolean> {
  const { rowCount } = await client.query(
    "UPDATE audit.chains SET first_number = $4 WHERE tenant = $1 AND kind = $2 AND first_number = $3",
    [tenant, kind, from + 1, to + 1],
  );
  return rowCount === 1;
}

/** The latest cut says all that those before it have said. */
export async function replaceCut(client: Client, cut: Cut): Promise<void> {
  const { tenant, kind, number } = cut;
  await client.query("DELETE FROM audit.cuts WHERE tenant = $1 AND kind = $2", [tenant, kind]);
  await client.query("INSERT INTO audit.cuts (tenant, kind, number, cut) VALUES ($1, $2, $3, $4)", [
    tenant,
    kind,
    number,
    JSON.stringify(cut),
  ]);
}

/** Deletes the segment's events and the checkpoints before its own. Says how many events there were. */
export async function deleteSegment(client: Client, segment: Segment): Promise<number> {
  const { tenant, kind, from, to } = segment;
  // A compressed chunk would otherwise give up past 100,000 rows that it has to unpack.
  await client.query(
    "SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'timescaledb.max_tuples_decompressed_per_dml_transaction'",
  );
  const { rowCount } = await client.query(
    "DELETE FROM audit.events WHERE tenant = $1 AND kind = $2 AND number > $3 AND number <= $4",
    [tenant, kind, from, to],
  );
  await client.query("DELETE FROM audit.checkpoints WHERE tenant = $1 AND kind = $2 AND number < $3", [
    tenant,
    kind,
    to,
  ]);
  return rowCount ?? 0;
}

function toSegment(row: SegmentRow): Segment {
  return {
    tenant: row.tenant,
    kind: row.kind,
    from: Number(row.from_number),
    to: Number(row.number),
    firstTimeMs: row.first_time.getTime(),
    lastTimeMs: row.last_time.getTime(),
  };
}
