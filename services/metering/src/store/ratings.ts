import { AppError } from "@tollgate/errors";
import type { Pool } from "@tollgate/service";
import type { PoolClient } from "pg";
import type { CallUsage, Price } from "../domain/metered-call.ts";

/** What is listed: the newest. */
const LIST_MAX = 1_000;
/** Calls of one transaction. */
const STEP_CALLS_MAX = 2_000;

export interface NewRating {
  /** Empty: every tenant. */
  readonly tenant: string;
  /** Unix milliseconds, inclusive. */
  readonly fromMs: number;
  /** Unix milliseconds, exclusive. */
  readonly toMs: number;
  readonly reason: string;
  readonly by: string;
  readonly startedAtMs: number;
}

export interface Rating extends NewRating {
  readonly version: number;
  /** The last card that it goes by. */
  readonly cards: number;
  readonly status: "running" | "done" | "failed";
  /** Of calls that are priced so far. */
  readonly calls: string;
  readonly costBefore: string;
  readonly costAfter: string;
  /** 0 while it runs. */
  readonly endedAtMs: number;
}

/** The last call that a rating has priced. */
interface Cursor {
  readonly atTenant: string;
  readonly atMs: number | null;
  readonly atCall: string;
}

const MS = (column: string): string => `round(extract(epoch FROM ${column}) * 1000)::float8`;
const COLUMNS = `
  version, tenant, ${MS("from_time")} AS "fromMs", ${MS("to_time")} AS "toMs", reason, by, cards::float8 AS cards, status,
  calls::text AS calls, trim_scale(cost_before)::text AS "costBefore", trim_scale(cost_after)::text AS "costAfter",
  ${MS("started_at")} AS "startedAtMs", coalesce(${MS("ended_at")}, 0) AS "endedAtMs"`;

/** The newest first. */
export async function listRatings(pool: Pool, tenant: string | undefined): Promise<Rating[]> {
  const sql = `SELECT ${COLUMNS} FROM metering.ratings WHERE $1::text IS NULL OR tenant = $1
               ORDER BY version DESC LIMIT ${LIST_MAX}`;
  return (await pool.query<Rating>(sql, [tenant ?? null])).rows;
}

/** @throws {AppError} not_found, failed_precondition while it is not done */
export async function checkRating(pool: Pool, version: number): Promise<void> {
  if (version === 0) return;
  const { rows } = await pool.query<{ status: string }>("SELECT status FROM metering.ratings WHERE version = $1", [
    version,
  ]);
  if (rows[0] === undefined) throw new AppError("not_found", `there is no rating ${version}`);
  if (rows[0].status !== "done") throw new AppError("failed_precondition", `rating ${version} is ${rows[0].status}`);
}

export async function countRunning(client: PoolClient): Promise<number> {
  const { rows } = await client.query<{ running: number }>(
    "SELECT count(*)::int AS running FROM metering.ratings WHERE status = 'running'",
  );
  return rows[0]!.running;
}

/** The number of the next one, and the last card that there is. Under the lock of cards. */
export async function nextRating(client: PoolClient): Promise<Pick<Rating, "version" | "cards">> {
  const { rows } = await client.query<Pick<Rating, "version" | "cards">>(
    `SELECT (SELECT coalesce(max(version), 0) + 1 FROM metering.ratings) AS version,
            (SELECT max(number) FROM metering.rate_cards)::float8 AS cards`,
  );
  return rows[0]!;
}

/** One that is there stays as it is. */
export async function insertRating(
  client: PoolClient,
  rating: NewRating & Pick<Rating, "version" | "cards">,
): Promise<void> {
  const { version, cards, tenant, fromMs, toMs, reason, by, startedAtMs } = rating;
  await client.query(
    `INSERT INTO metering.ratings (version, cards, tenant, from_time, to_time, reason, by, started_at, status)
     SELECT $1, $2, $3, to_timestamp($4::float8 / 1000), to_timestamp($5::float8 / 1000), $6, $7,
            to_timestamp($8::float8 / 1000), 'running'
     ON CONFLICT (version) DO NOTHING`,
    [version, cards, tenant, fromMs, toMs, reason, by, startedAtMs],
  );
}

/** The oldest that runs, with its place, and nobody else has it until the transaction ends. */
export async function takeRunning(client: PoolClient): Promise<(Rating & Cursor) | undefined> {
  const { rows } = await client.query<Rating & Cursor>(
    `SELECT ${COLUMNS}, at_tenant AS "atTenant", at_call AS "atCall",
            CASE WHEN isfinite(at_time) THEN ${MS("at_time")} END AS "atMs"
     FROM metering.ratings WHERE status = 'running' ORDER BY version LIMIT 1 FOR UPDATE`,
  );
  return rows[0];
}

/** A stored call with what it was priced at first. */
export type RecordedCall = Omit<CallUsage, "sequence"> & Pick<Price, "monthCall" | "cost">;

const NEXT = (tenant: string): string => `
  SELECT ${MS("time")} AS "timeMs", call_id AS id, duration_us::float8 AS "durationUs", cpu_us::float8 AS "cpuUs",
         request_bytes::float8 AS "requestBytes", response_bytes::float8 AS "responseBytes",
         downstream_calls AS "downstreamCalls", cold_start_calls AS "coldStartCalls", month_call::float8 AS "monthCall",
         tenant, team, principal, group_id AS "group", server, tool, outcome, cost
  FROM metering.calls
  WHERE time >= to_timestamp($1::float8 / 1000) AND time < to_timestamp($2::float8 / 1000)
    AND (tenant, time, call_id) > ($3, coalesce(to_timestamp($4::float8 / 1000), '-infinity'), $5)
    ${tenant === "" ? "" : "AND tenant = $6"}
  ORDER BY tenant, time, call_id LIMIT ${STEP_CALLS_MAX}`;

/** Those that a rating prices next; none when it has priced all. */
export async function nextCalls(client: PoolClient, rating: Rating & Cursor): Promise<RecordedCall[]> {
  const { tenant, fromMs, toMs, atTenant, atMs, atCall } = rating;
  const values = [fromMs, toMs, atTenant, atMs, atCall, ...(tenant === "" ? [] : [tenant])];
  return (await client.query<RecordedCall>(NEXT(tenant), values)).rows;
}

const STORE = `
  WITH rated AS (
    INSERT INTO metering.rated_calls (rating, tenant, time, call_id, rate_card, cost)
    SELECT $1, tenant, to_timestamp(time_ms::float8 / 1000), call_id, rate_card, cost
    FROM unnest($2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::numeric[])
      AS given (tenant, time_ms, call_id, rate_card, cost)
    RETURNING tenant, time, call_id, cost
  ), differing AS (
    SELECT c.*, (c.time AT TIME ZONE 'UTC')::date AS day, rated.cost - c.cost AS difference
    FROM rated JOIN metering.calls AS c USING (tenant, time, call_id)
  ), summed AS (
    INSERT INTO metering.usage_days AS stored
    SELECT $1, CASE WHEN GROUPING(tool) = 1 THEN 1 WHEN GROUPING(team) = 1 THEN 2 ELSE 0 END,
           day, tenant, coalesce(team, ''), coalesce(principal, ''), coalesce(group_id, ''), coalesce(server, ''),
           coalesce(tool, ''), 0, 0, 0, 0, 0, 0, 0, 0, sum(difference)
    FROM differing
    GROUP BY GROUPING SETS ((day, tenant, team, principal, group_id, server, tool),
                            (day, tenant, team, principal), (day, tenant, group_id, server, tool))
    ON CONFLICT (rating, grain, day, tenant, team, principal, group_id, server, tool)
      DO UPDATE SET cost = stored.cost + EXCLUDED.cost
  )
  UPDATE metering.ratings SET
    at_tenant = $7, at_time = to_timestamp($8::float8 / 1000), at_call = $9, calls = calls + cardinality($4::uuid[]),
    cost_before = cost_before + $10::numeric, cost_after = cost_after + $11::numeric
  WHERE version = $1`;

/** What calls cost in a rating, in the order of nextCalls, and how far it is with that. */
export async function storeRated(
  client: PoolClient,
  { version }: Rating,
  {
    calls,
    prices,
    ...sums
  }: {
    calls: readonly RecordedCall[];
    /** In the same order. */
    prices: readonly Price[];
    before: string;
    after: string;
  },
): Promise<void> {
  const last = calls.at(-1)!;
  await client.query(STORE, [
    version,
    calls.map((call) => call.tenant),
    calls.map((call) => call.timeMs),
    calls.map((call) => call.id),
    prices.map((price) => price.rateCard),
    prices.map((price) => price.cost),
    last.tenant,
    last.timeMs,
    last.id,
    sums.before,
    sums.after,
  ]);
}

export async function endRating(
  client: PoolClient,
  { version }: Rating,
  { status, atMs }: { status: "done" | "failed"; atMs: number },
): Promise<Rating> {
  const sql = `UPDATE metering.ratings SET status = $2, ended_at = to_timestamp($3::float8 / 1000)
               WHERE version = $1 RETURNING ${COLUMNS}`;
  return (await client.query<Rating>(sql, [version, status, atMs])).rows[0]!;
}
