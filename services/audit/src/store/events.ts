import { timeOfId } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { type Pool, withTransaction } from "@tollgate/service";
import { DatabaseError } from "pg";
import type { EventQuery, Filter } from "../domain/query.ts";
import type { AuditRecord } from "../domain/record.ts";

/** Rows of one statement: with lines of at most 64 KiB it stays far below what PostgreSQL takes. */
const INSERT_ROWS_MAX = 2_000;
const LIST_TIMEOUT_MS = 5_000;
const QUERY_CANCELED = "57014";

/**
 * Lines hold no line break, so they travel as one text: an array literal would escape each of their quotes.
 * A repeated event changes nothing, unless the stored one is not the first on the stream (see withoutDuplicates).
 */
const INSERT = `
  INSERT INTO audit.events AS stored (time, sequence, id, tenant, kind, outcome, principal, group_id, server, tool, event)
  SELECT to_timestamp(time_ms::float8 / 1000), sequence, id, tenant, kind, outcome, principal, group_id, server, tool, event
  FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
              $9::text[], $10::text[], string_to_array($11, E'\\n'))
    AS given (time_ms, sequence, id, tenant, kind, outcome, principal, group_id, server, tool, event)
  ON CONFLICT (tenant, time, id) DO UPDATE SET
    sequence = EXCLUDED.sequence, kind = EXCLUDED.kind, outcome = EXCLUDED.outcome, principal = EXCLUDED.principal,
    group_id = EXCLUDED.group_id, server = EXCLUDED.server, tool = EXCLUDED.tool, event = EXCLUDED.event
  WHERE EXCLUDED.sequence < stored.sequence`;

/** Stores records of which no two have the same key; says how many of them were not stored before. */
export async function insertEvents(pool: Pool, records: readonly AuditRecord[]): Promise<number> {
  let stored = 0;
  for (let at = 0; at < records.length; at += INSERT_ROWS_MAX) {
    const rows = records.slice(at, at + INSERT_ROWS_MAX);
    const { rowCount } = await pool.query({ name: "insert-events", text: INSERT, values: columnsOf(rows) });
    stored += rowCount ?? 0;
  }
  return stored;
}

function columnsOf(rows: readonly AuditRecord[]): unknown[] {
  return [
    rows.map((row) => row.timeMs),
    rows.map((row) => row.sequence),
    rows.map((row) => row.id),
    rows.map((row) => row.tenant),
    rows.map((row) => row.kind),
    rows.map((row) => row.outcome),
    rows.map((row) => row.principal),
    rows.map((row) => row.group),
    rows.map((row) => row.server),
    rows.map((row) => row.tool),
    rows.map((row) => row.line).join("\n"),
  ];
}

const FILTER_COLUMNS: Readonly<Record<Filter, string>> = {
  kind: "kind",
  outcome: "outcome",
  principal: "principal",
  group: "group_id",
  server: "server",
  tool: "tool",
};

/**
 * A page of events, newest first; `more` says whether others follow.
 * @throws {AppError} deadline_exceeded when a rare filter over a long time takes more than five seconds
 */
export async function listEvents(
  pool: Pool,
  query: EventQuery,
): Promise<{ events: { id: string; event: string }[]; more: boolean }> {
  const { conditions, values } = conditionsOf(query);
  const where = conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
  // One row beyond the page says whether there is another.
  const sql = `SELECT id, event FROM audit.events ${where} ORDER BY time DESC, id DESC LIMIT ${query.pageSize + 1}`;
  try {
    const rows = await withTransaction(pool, async (client) => {
      await client.query(`SET LOCAL statement_timeout = ${LIST_TIMEOUT_MS}`);
      return (await client.query<{ id: string; event: string }>(sql, values)).rows;
    });
    return { events: rows.slice(0, query.pageSize), more: rows.length > query.pageSize };
  } catch (error) {
    if (!(error instanceof DatabaseError) || error.code !== QUERY_CANCELED) throw error;
    throw new AppError("deadline_exceeded", "the search took too long; narrow it by tenant or time", { cause: error });
  }
}

function conditionsOf(query: EventQuery): { conditions: string[]; values: unknown[] } {
  const conditions: string[] = [];
  const values: unknown[] = [];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const time = (ms: number): string => `to_timestamp(${bind(ms)}::float8 / 1000)`;

  if (query.tenant !== undefined) conditions.push(`tenant = ${bind(query.tenant)}`);
  if (query.fromMs !== undefined) conditions.push(`time >= ${time(query.fromMs)}`);
  if (query.toMs !== undefined) conditions.push(`time < ${time(query.toMs)}`);
  if (query.id !== undefined) conditions.push(`time = ${time(timeOfId(query.id))}`, `id = ${bind(query.id)}`);
  if (query.before !== undefined) {
    const last = time(timeOfId(query.before));
    // The first condition follows from the second; partitions are left out by it alone.
    conditions.push(`time <= ${last}`, `(time, id) < (${last}, ${bind(query.before)})`);
  }
  for (const [filter, value] of query.filters) conditions.push(`${FILTER_COLUMNS[filter]} = ${bind(value)}`);
  return { conditions, values };
}
