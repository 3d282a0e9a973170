import { arrayLiteral } from "@tollgate/service";
import type { CallUsage, Price } from "../domain/metered-call.ts";
import type { PoolClient } from "pg";

/**
 * Calls and, of those that were not there yet, the sums of their days at each grain. One statement: what is inserted is
 * what is summed.
 */
const INSERT = `
  WITH inserted AS (
    INSERT INTO metering.calls
      (time, sequence, call_id, duration_us, cpu_us, request_bytes, response_bytes, downstream_calls, cold_start_calls,
       month_call, tenant, team, principal, group_id, server, tool, outcome, rate_card, cost)
    SELECT to_timestamp(time_ms::float8 / 1000), sequence, call_id, duration_us, cpu_us, request_bytes, response_bytes,
           downstream_calls, cold_start_calls, month_call, tenant, team, principal, group_id, server, tool, outcome,
           rate_card, cost
    FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                $8::int[], $9::int[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
                $16::text[], $17::bigint[], $18::text[], $19::numeric[])
      AS given (time_ms, sequence, call_id, duration_us, cpu_us, request_bytes, response_bytes, downstream_calls,
                cold_start_calls, tenant, team, principal, group_id, server, tool, outcome, month_call, rate_card, cost)
    ON CONFLICT (tenant, time, call_id) DO NOTHING
    RETURNING *, (time AT TIME ZONE 'UTC')::date AS day
  ), summed AS (
    INSERT INTO metering.usage_days AS stored
    SELECT 0, CASE WHEN GROUPING(tool) = 1 THEN 1 WHEN GROUPING(team) = 1 THEN 2 ELSE 0 END,
           day, tenant, coalesce(team, ''), coalesce(principal, ''), coalesce(group_id, ''), coalesce(server, ''),
           coalesce(tool, ''), count(*), count(*) FILTER (WHERE outcome <> 'ok'), sum(duration_us), sum(cpu_us),
           sum(request_bytes), sum(response_bytes), sum(downstream_calls),
           count(*) FILTER (WHERE cold_start_calls > 0), sum(cost)
    FROM inserted
    GROUP BY GROUPING SETS ((day, tenant, team, principal, group_id, server, tool),
                            (day, tenant, team, principal), (day, tenant, group_id, server, tool))
    ON CONFLICT (rating, grain, day, tenant, team, principal, group_id, server, tool) DO UPDATE SET
      calls = stored.calls + EXCLUDED.calls, errors = stored.errors + EXCLUDED.errors,
      duration_us = stored.duration_us + EXCLUDED.duration_us, cpu_us = stored.cpu_us + EXCLUDED.cpu_us,
      request_bytes = stored.request_bytes + EXCLUDED.request_bytes,
      response_bytes = stored.response_bytes + EXCLUDED.response_bytes,
      downstream_calls = stored.downstream_calls + EXCLUDED.downstream_calls,
      cold_starts = stored.cold_starts + EXCLUDED.cold_starts, cost = stored.cost + EXCLUDED.cost
  )
  SELECT count(*)::int AS stored FROM inserted`;

/** Calls of which no two have the same key, with what of their rows is known before they are priced. */
export interface PreparedCalls {
  readonly calls: readonly CallUsage[];
  readonly columns: readonly string[];
}

export function prepareColumns(calls: readonly CallUsage[]): PreparedCalls {
  const column = (of: (call: CallUsage) => string | number): string => arrayLiteral(calls.map(of));
  const columns = [
    column((call) => call.timeMs),
    column((call) => call.sequence),
    column((call) => call.id),
    column((call) => call.durationUs),
    column((call) => call.cpuUs),
    column((call) => call.requestBytes),
    column((call) => call.responseBytes),
    column((call) => call.downstreamCalls),
    column((call) => call.coldStartCalls),
    column((call) => call.tenant),
    column((call) => call.team),
    column((call) => call.principal),
    column((call) => call.group),
    column((call) => call.server),
    column((call) => call.tool),
    column((call) => call.outcome),
  ];
  return { calls, columns };
}

/** Says how many were not stored before. */
export async function insertCalls(
  client: PoolClient,
  { columns }: PreparedCalls,
  prices: readonly Price[],
): Promise<number> {
  const column = (of: (price: Price) => string | number): string => arrayLiteral(prices.map(of));
  const priced = [column((price) => price.monthCall), column((price) => price.rateCard), column((price) => price.cost)];
  const values = [...columns, ...priced];
  const { rows } = await client.query<{ stored: number }>({ name: "insert-calls", text: INSERT, values });
  return rows[0]!.stored;
}

const KNOWN = `
  SELECT given.tenant || ' ' || given.call_id AS key
  FROM unnest($1::text[], $2::bigint[], $3::uuid[]) AS given (tenant, time_ms, call_id)
  JOIN metering.calls AS stored ON stored.tenant = given.tenant AND stored.call_id = given.call_id
    AND stored.time = to_timestamp(given.time_ms::float8 / 1000)`;

/** Those that are not stored. */
export async function unknownOf(client: PoolClient, calls: readonly CallUsage[]): Promise<CallUsage[]> {
  const values = [calls.map((call) => call.tenant), calls.map((call) => call.timeMs), calls.map((call) => call.id)];
  const { rows } = await client.query<{ key: string }>({ name: "known-calls", text: KNOWN, values });
  const known = new Set(rows.map((row) => row.key));
  return calls.filter((call) => !known.has(`${call.tenant} ${call.id}`));
}
