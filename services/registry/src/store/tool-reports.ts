import type { DesiredToolPolicy } from "@tollgate/desired-state";
import type { Item } from "../domain/item.ts";
import type { ReportedTool, SaidVersion } from "../domain/tool-report.ts";
import type { Certification } from "../domain/tool-standing.ts";
import type { Queryable } from "./revision.ts";

/** A report's tools, and what they are reported to. */
export interface ToolsReport {
  readonly serverId: string;
  readonly group: string;
  readonly runner: string;
  readonly tools: readonly Item[];
  readonly policy: Pick<DesiredToolPolicy, "changes" | "certification">;
  readonly nowMs: number;
}

export interface KnownRow extends ReportedTool {
  readonly tool: string;
  readonly hash: string;
  readonly newest: number;
  readonly unlisted: boolean;
}

export interface VersionRow extends SaidVersion {
  readonly tool: string;
  readonly hash: string;
  readonly definition: string;
}

/** A tool as it is to be written, with the version that the server says where that is a new one. */
export interface Written {
  readonly item: Item;
  readonly served: number;
  readonly reported: number;
  readonly newest: number;
  readonly isNew: boolean;
  /** Of a tool that is new: FLOODED, or empty. */
  readonly removedBy: string;
}

export async function readKnown(client: Queryable, serverId: string): Promise<Map<string, KnownRow>> {
  interface Row {
    readonly tool: string;
    readonly hash: string;
    readonly newest: number;
    readonly unlisted: boolean;
    readonly reporter: string;
    readonly reported_at: Date;
    readonly removed_by: string;
    readonly served: number;
    readonly served_certification: Certification;
    readonly reported: number;
    readonly reported_certification: Certification;
  }
  const { rows } = await client.query<Row>(
    `SELECT tools.tool, said.hash, newest, unlisted_at IS NOT NULL AS unlisted, reporter, reported_at, removed_by,
       served, given.certification AS served_certification, reported, said.certification AS reported_certification
     FROM registry.tools
     JOIN registry.tool_versions AS said USING (server_id, tool)
     JOIN registry.tool_versions AS given USING (server_id, tool)
     WHERE server_id = $1 AND said.version = reported AND given.version = served`,
    [serverId],
  );
  const toKnown = (row: Row): KnownRow => ({
    tool: row.tool,
    hash: row.hash,
    newest: row.newest,
    unlisted: row.unlisted,
    reporter: row.reporter,
    reportedAtMs: row.reported_at.getTime(),
    removedBy: row.removed_by,
    served: { version: row.served, certification: row.served_certification },
    reported: { version: row.reported, certification: row.reported_certification },
  });
  return new Map(rows.map((row) => [row.tool, toKnown(row)]));
}

/** All versions of these tools, by versionKey. */
export async function readVersions(
  client: Queryable,
  serverId: string,
  items: readonly Item[],
): Promise<Map<string, VersionRow>> {
  if (items.length === 0) return new Map();
  const { rows } = await client.query<VersionRow>(
    `SELECT tool, version, hash, certification, definition FROM registry.tool_versions
     WHERE server_id = $1 AND tool = ANY ($2)`,
    [serverId, items.map(({ key }) => key)],
  );
  return new Map(rows.map((row) => [versionKey(row.tool, row.hash), row]));
}

export function versionKey(tool: string, hash: string): string {
  return `${hash} ${tool}`;
}

export async function writeTools(client: Queryable, report: ToolsReport, written: readonly Written[]): Promise<void> {
  const { serverId, runner, nowMs } = report;
  await client.query(
    `INSERT INTO registry.tools AS old (server_id, tool, served, reported, newest, reporter, reported_at, first_seen, removed_by)
     SELECT $1, tool, served, reported, newest, $6, $7, $7, removed_by
     FROM unnest($2::text[], $3::integer[], $4::integer[], $5::integer[], $8::text[])
       AS new (tool, served, reported, newest, removed_by)
     ON CONFLICT (server_id, tool) DO UPDATE SET served = excluded.served, reported = excluded.reported,
       newest = excluded.newest, unlisted_at = NULL,
       reporter = CASE WHEN old.reported = excluded.reported THEN old.reporter ELSE excluded.reporter END,
       reported_at = CASE WHEN old.reported = excluded.reported THEN old.reported_at ELSE excluded.reported_at END`,
    [
      serverId,
      written.map(({ item }) => item.key),
      written.map(({ served }) => served),
      written.map(({ reported }) => reported),
      written.map(({ newest }) => newest),
      runner,
      new Date(nowMs),
      written.map(({ removedBy }) => removedBy),
    ],
  );
}

export async function writeVersions(
  client: Queryable,
  report: ToolsReport,
  written: readonly Written[],
): Promise<void> {
  await client.query(
    `INSERT INTO registry.tool_versions (server_id, tool, version, hash, definition, retry_safe, first_seen)
     SELECT $1, tool, version, hash, definition, retry_safe, $7
     FROM unnest($2::text[], $3::integer[], $4::text[], $5::text[], $6::boolean[])
       AS new (tool, version, hash, definition, retry_safe)`,
    [
      report.serverId,
      written.map(({ item }) => item.key),
      written.map(({ reported }) => reported),
      written.map(({ item }) => item.canonicalHash),
      written.map(({ item }) => item.definition),
      written.map(({ item }) => item.retrySafe),
      new Date(report.nowMs),
    ],
  );
}

export async function markUnlisted(client: Queryable, serverId: string, tools: readonly Item[]): Promise<number> {
  const { rowCount } = await client.query(
    `UPDATE registry.tools SET unlisted_at = now()
     WHERE server_id = $1 AND unlisted_at IS NULL AND tool <> ALL ($2)`,
    [serverId, tools.map(({ key }) => key)],
  );
  return rowCount ?? 0;
}
