import { AppError } from "@tollgate/errors";
import { type Pool, withTransaction } from "@tollgate/service";
import { DatabaseError } from "pg";
import type { GroupKey, Range, UsagePlan } from "../domain/usage-query.ts";

const USAGE_TIMEOUT_MS = 10_000;
const QUERY_CANCELED = "57014";

/** Counts are whole decimal numbers, since they may be past what a number holds exactly; so is cost, with a fraction. */
export interface UsageSums {
  readonly calls: string;
  readonly errors: string;
  readonly durationMs: string;
  readonly cpuMs: string;
  readonly requestBytes: string;
  readonly responseBytes: string;
  readonly downstreamCalls: string;
  readonly coldStarts: string;
  readonly cost: string;
}

export interface UsageGroup extends UsageSums {
  /** The values of groupBy, in its order. */
  readonly keys: readonly string[];
  /** Unix milliseconds at which the step begins; 0 without one. */
  readonly fromMs: number;
}

/** A principal says what it is: `user:SUBJECT`, `agent:NAME`, `token:NAME`. Who is no user has none. */
const KEY_COLUMNS: Readonly<Record<GroupKey, string>> = {
  tenant: "tenant",
  team: "team",
  principal: "principal",
  user: "CASE WHEN starts_with(principal, 'user:') THEN substr(principal, 6) ELSE '' END",
  agent: "CASE WHEN starts_with(principal, 'agent:') THEN substr(principal, 7) ELSE '' END",
  group: "group_id",
  server: "server",
  tool: "tool",
};

/**
 * Sums of usage: by step, then the most costly groups; and the total over all groups. One statement, and so one state of
 * the record, serves all. `more`: there are groups beyond the limit.
 * @throws {AppError} deadline_exceeded when it takes more than ten seconds
 */
export async function sumUsage(
  pool: Pool,
  query: UsagePlan,
): Promise<{ groups: UsageGroup[]; total: UsageSums; more: boolean }> {
  const { sql, values } = usageStatement(query);
  try {
    const rows = await withTransaction(pool, async (client) => {
      await client.query(`SET LOCAL statement_timeout = ${USAGE_TIMEOUT_MS}`);
      return (await client.query<UsageGroup & { isTotal: boolean }>(sql, values)).rows;
    });
    const groups = rows.filter((row) => !row.isTotal);
    const total = rows.find((row) => row.isTotal)!;
    return { groups: groups.slice(0, query.limit), total, more: groups.length > query.limit };
  } catch (error) {
    if (!(error instanceof DatabaseError) || error.code !== QUERY_CANCELED) throw error;
    throw new AppError("deadline_exceeded", "the sum took too long; narrow it by tenant or time", { cause: error });
  }
}

const SUMS = [
  "calls",
  "errors",
  "duration_us",
  "cpu_us",
  "request_bytes",
  "response_bytes",
  "downstream_calls",
  "cold_starts",
  "cost",
] as const;
const SUMMED = SUMS.map((name) => `sum(${name}) AS ${name}`).join(", ");

function usageStatement(query: UsagePlan): { sql: string; values: unknown[] } {
  const values: unknown[] = [];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const conditions = conditionsOf(query, bind);
  const sources = query.calls.map((range) => callsOf(query, { range, conditions, bind }));
  if (query.days !== undefined) sources.unshift(daysOf(query, { range: query.days, conditions, bind }));
  const keys = query.groupBy.map((_, at) => `key${at}`);
  const by = query.groupBy.length === 0 && query.step === undefined ? "()" : ["step", ...keys].join(", ");
  const sql = `
    WITH groups AS MATERIALIZED (
      SELECT ${by === "()" ? "0::bigint AS step" : "step"}, ARRAY[${keys.join(", ")}]::text[] COLLATE "C" AS keys, ${SUMMED}
      FROM (${sources.join(" UNION ALL ")}) AS used GROUP BY ${by}
    ), answer AS (
      SELECT false AS is_total, * FROM (SELECT * FROM groups ORDER BY step, cost DESC, keys LIMIT ${query.limit + 1}) AS first
      UNION ALL
      SELECT true, 0, '{}', ${SUMMED} FROM groups
    )
    SELECT is_total AS "isTotal", (step * 1000)::float8 AS "fromMs", keys,
           coalesce(calls, 0)::text AS calls, coalesce(errors, 0)::text AS errors,
           round(coalesce(duration_us, 0) / 1000)::text AS "durationMs", round(coalesce(cpu_us, 0) / 1000)::text AS "cpuMs",
           coalesce(request_bytes, 0)::text AS "requestBytes", coalesce(response_bytes, 0)::text AS "responseBytes",
           coalesce(downstream_calls, 0)::text AS "downstreamCalls", coalesce(cold_starts, 0)::text AS "coldStarts",
           trim_scale(coalesce(answer.cost, 0))::text AS cost
    FROM answer ORDER BY is_total, step, answer.cost DESC, keys`;
  return { sql, values };
}

type Bind = (value: unknown) => string;
interface Source {
  readonly range: Range;
  readonly conditions: readonly string[];
  readonly bind: Bind;
}

function conditionsOf({ tenant, filter }: UsagePlan, bind: Bind): string[] {
  const conditions = filter.map(([key, value]) => `${KEY_COLUMNS[key]} = ${bind(value)}`);
  if (tenant !== undefined) conditions.push(`tenant = ${bind(tenant)}`);
  return conditions;
}

/** Seconds of the Unix time at which a step begins; one, and the same, for all where there is none. */
function stepOf({ step }: UsagePlan, time: string): string {
  return step === undefined ? "0::bigint" : `extract(epoch FROM date_trunc('${step}', ${time}))::bigint`;
}

function keysOf({ groupBy }: UsagePlan): string[] {
  return groupBy.map((key, at) => `${KEY_COLUMNS[key]} AS key${at}`);
}

function daysOf(query: UsagePlan, { range, conditions, bind }: Source): string {
  const day = (ms: number): string => `(to_timestamp(${bind(ms)}::float8 / 1000) AT TIME ZONE 'UTC')::date`;
  const where = [`rating IN (0, ${query.rating})`, `grain = ${query.grain}`, ...conditions];
  if (range.fromMs !== undefined) where.push(`day >= ${day(range.fromMs)}`);
  if (range.toMs !== undefined) where.push(`day < ${day(range.toMs)}`);
  const columns = [`${stepOf(query, "day::timestamp")} AS step`, ...keysOf(query), ...SUMS];
  return `SELECT ${columns.join(", ")} FROM metering.usage_days WHERE ${where.join(" AND ")}`;
}

function callsOf(query: UsagePlan, { range, conditions, bind }: Source): string {
  const time = (ms: number): string => `to_timestamp(${bind(ms)}::float8 / 1000)`;
  const where = ["true", ...conditions];
  if (range.fromMs !== undefined) where.push(`time >= ${time(range.fromMs)}`);
  if (range.toMs !== undefined) where.push(`time < ${time(range.toMs)}`);
  const columns = [
    `${stepOf(query, "time AT TIME ZONE 'UTC'")} AS step`,
    ...keysOf(query),
    "1 AS calls, (outcome <> 'ok')::int AS errors, duration_us, cpu_us, request_bytes, response_bytes, downstream_calls",
    "(cold_start_calls > 0)::int AS cold_starts",
    query.rating === 0 ? "cost" : "coalesce(rated_cost, cost) AS cost",
  ];
  const rated = `LEFT JOIN LATERAL (
      SELECT r.cost AS rated_cost FROM metering.rated_calls AS r
      WHERE r.rating = ${query.rating} AND r.tenant = c.tenant AND r.time = c.time AND r.call_id = c.call_id
    ) AS rated ON true`;
  return `SELECT ${columns.join(", ")} FROM metering.calls AS c ${query.rating === 0 ? "" : rated} WHERE ${where.join(" AND ")}`;
}
