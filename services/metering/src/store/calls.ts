import { AppError } from "@tollgate/errors";
import { type Pool, withTransaction } from "@tollgate/service";
import { DatabaseError } from "pg";
import type { MeteredCall } from "../domain/metered-call.ts";
import type { GroupKey, UsageQuery } from "../domain/usage-query.ts";

const INSERT_ROWS_MAX = 2_000;
const USAGE_TIMEOUT_MS = 10_000;
const QUERY_CANCELED = "57014";

/** A repeated call changes nothing, unless the stored outcome is not the first on the stream (see withoutDuplicates). */
const INSERT = `
  INSERT INTO metering.calls AS stored
    (time, sequence, call_id, duration_us, request_bytes, response_bytes, cold_start,
     tenant, team, principal, group_id, server, tool, outcome, rate_card, cost)
  SELECT to_timestamp(time_ms::float8 / 1000), sequence, call_id, duration_us, request_bytes, response_bytes, cold_start,
         tenant, team, principal, group_id, server, tool, outcome, rate_card, cost
  FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[],
              $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
              $16::numeric[])
    AS given (time_ms, sequence, call_id, duration_us, request_bytes, response_bytes, cold_start,
              tenant, team, principal, group_id, server, tool, outcome, rate_card, cost)
  ON CONFLICT (tenant, time, call_id) DO UPDATE SET
    sequence = EXCLUDED.sequence, duration_us = EXCLUDED.duration_us, request_bytes = EXCLUDED.request_bytes,
    response_bytes = EXCLUDED.response_bytes, cold_start = EXCLUDED.cold_start, team = EXCLUDED.team,
    principal = EXCLUDED.principal, group_id = EXCLUDED.group_id, server = EXCLUDED.server, tool = EXCLUDED.tool,
    outcome = EXCLUDED.outcome, rate_card = EXCLUDED.rate_card, cost = EXCLUDED.cost
  WHERE EXCLUDED.sequence < stored.sequence`;

/** Stores calls of which no two have the same key; says how many of them were not stored before. */
export async function insertCalls(pool: Pool, calls: readonly MeteredCall[]): Promise<number> {
  let stored = 0;
  for (let at = 0; at < calls.length; at += INSERT_ROWS_MAX) {
    const values = columnsOf(calls.slice(at, at + INSERT_ROWS_MAX));
    const { rowCount } = await pool.query({ name: "insert-calls", text: INSERT, values });
    stored += rowCount ?? 0;
  }
  return stored;
}

function columnsOf(calls: readonly MeteredCall[]): unknown[] {
  return [
    calls.map((call) => call.timeMs),
    calls.map((call) => call.sequence),
    calls.map((call) => call.id),
    calls.map((call) => call.durationUs),
    calls.map((call) => call.requestBytes),
    calls.map((call) => call.responseBytes),
    calls.map((call) => call.coldStart),
    calls.map((call) => call.tenant),
    calls.map((call) => call.team),
    calls.map((call) => call.principal),
    calls.map((call) => call.group),
    calls.map((call) => call.server),
    calls.map((call) => call.tool),
    calls.map((call) => call.outcome),
    calls.map((call) => call.rateCard),
    calls.map((call) => call.cost),
  ];
}

/** Counts are whole decimal numbers, since they may be past what a number holds exactly; so is cost, with a fraction. */
export interface UsageSums {
  readonly calls: string;
  readonly errors: string;
  readonly durationMs: string;
  readonly requestBytes: string;
  readonly responseBytes: string;
  readonly coldStarts: string;
  readonly cost: string;
}

export interface UsageGroup extends UsageSums {
  /** The values of groupBy, in its order. */
  readonly keys: readonly string[];
}

const KEY_COLUMNS: Readonly<Record<GroupKey, string>> = {
  tenant: "tenant",
  team: "team",
  principal: "principal",
  group: "group_id",
  server: "server",
  tool: "tool",
};

/**
 * Sums of usage: the most costly groups, and the total over all groups. One read of the calls serves both.
 * @throws {AppError} deadline_exceeded when it takes more than ten seconds
 */
export async function sumUsage(pool: Pool, query: UsageQuery): Promise<{ groups: UsageGroup[]; total: UsageSums }> {
  const { sql, values } = usageStatement(query);
  try {
    const rows = await withTransaction(pool, async (client) => {
      await client.query(`SET LOCAL statement_timeout = ${USAGE_TIMEOUT_MS}`);
      return (await client.query<UsageGroup & { isTotal: boolean }>(sql, values)).rows;
    });
    return { groups: rows.filter((row) => !row.isTotal), total: rows.find((row) => row.isTotal)! };
  } catch (error) {
    if (!(error instanceof DatabaseError) || error.code !== QUERY_CANCELED) throw error;
    throw new AppError("deadline_exceeded", "the sum took too long; narrow it by tenant or time", { cause: error });
  }
}

function usageStatement(query: UsageQuery): { sql: string; values: unknown[] } {
  const conditions: string[] = ["true"];
  const values: unknown[] = [];
  if (query.tenant !== undefined) conditions.push(`tenant = $${values.push(query.tenant)}`);
  if (query.fromMs !== undefined) conditions.push(`time >= to_timestamp($${values.push(query.fromMs)}::float8 / 1000)`);
  if (query.toMs !== undefined) conditions.push(`time < to_timestamp($${values.push(query.toMs)}::float8 / 1000)`);

  const columns = query.groupBy.map((key) => KEY_COLUMNS[key]);
  const sql = `
    WITH groups AS MATERIALIZED (
      SELECT ARRAY[${columns.join(", ")}]::text[] COLLATE "C" AS keys,
             count(*) AS calls, count(*) FILTER (WHERE outcome <> 'ok') AS errors, sum(duration_us) AS duration_us,
             sum(request_bytes) AS request_bytes, sum(response_bytes) AS response_bytes,
             count(*) FILTER (WHERE cold_start) AS cold_starts, sum(cost) AS cost
      FROM metering.calls WHERE ${conditions.join(" AND ")} GROUP BY ${columns.length === 0 ? "()" : columns.join(", ")}
    ), answer AS (
      SELECT false AS is_total, * FROM (SELECT * FROM groups ORDER BY cost DESC, keys LIMIT ${query.limit}) AS first
      UNION ALL
      SELECT true, '{}', sum(calls), sum(errors), sum(duration_us), sum(request_bytes), sum(response_bytes),
             sum(cold_starts), sum(cost) FROM groups
    )
    SELECT is_total AS "isTotal", keys, coalesce(calls, 0)::text AS calls, coalesce(errors, 0)::text AS errors,
           round(coalesce(duration_us, 0) / 1000)::text AS "durationMs",
           coalesce(request_bytes, 0)::text AS "requestBytes", coalesce(response_bytes, 0)::text AS "responseBytes",
           coalesce(cold_starts, 0)::text AS "coldStarts", trim_scale(coalesce(answer.cost, 0))::text AS cost
    FROM answer ORDER BY is_total, answer.cost DESC, keys`;
  return { sql, values };
}
