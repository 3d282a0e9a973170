import type { PoolClient } from "pg";

/** How many calls a tenant has made in a month of UTC. */
export interface MonthCount {
  readonly tenant: string;
  readonly month: string;
  readonly calls: number;
}

const READ = `
  SELECT tenant, month, calls::float8 AS calls FROM metering.month_counts
  WHERE (tenant, month) IN (SELECT * FROM unnest($1::text[], $2::text[]))`;

/** Those that there are. */
export async function readMonthCounts(
  client: PoolClient,
  wanted: readonly Omit<MonthCount, "calls">[],
): Promise<MonthCount[]> {
  const values = [wanted.map(({ tenant }) => tenant), wanted.map(({ month }) => month)];
  return (await client.query<MonthCount>({ name: "read-month-counts", text: READ, values })).rows;
}

const WRITE = `
  INSERT INTO metering.month_counts (tenant, month, calls)
  SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
  ON CONFLICT (tenant, month) DO UPDATE SET calls = EXCLUDED.calls`;

export async function writeMonthCounts(client: PoolClient, counts: readonly MonthCount[]): Promise<void> {
  const values = [
    counts.map(({ tenant }) => tenant),
    counts.map(({ month }) => month),
    counts.map(({ calls }) => calls),
  ];
  await client.query({ name: "write-month-counts", text: WRITE, values });
}
