import { type AuditEvent, changeEvent, INSTALLATION_TENANT, newCallId, RISKS } from "@tollgate/contracts";
import type { DesiredToolPolicy } from "@tollgate/desired-state";
import { parseJson } from "@tollgate/mcp";
import { findingsIn, riskOf } from "../domain/findings.ts";
import type { Item } from "../domain/item.ts";
import { movedBy, type ReportedTool, type SaidVersion } from "../domain/tool-report.ts";
import { type Certification, standingOf } from "../domain/tool-standing.ts";
import type { Queryable } from "./revision.ts";
import { forgetVersions } from "./tool-memory.ts";

/** A report's tools, and what they are reported to. */
export interface ToolsReport {
  readonly serverId: string;
  readonly group: string;
  readonly runner: string;
  readonly tools: readonly Item[];
  readonly policy: Pick<DesiredToolPolicy, "changes" | "certification">;
  readonly nowMs: number;
}

interface KnownRow extends ReportedTool {
  readonly tool: string;
  readonly hash: string;
  readonly newest: number;
  readonly unlisted: boolean;
}

interface VersionRow extends SaidVersion {
  readonly tool: string;
  readonly hash: string;
  readonly definition: string;
}

/** A tool as it is to be written, with the version that the server says where that is a new one. */
interface Written {
  readonly item: Item;
  readonly served: number;
  readonly reported: number;
  readonly newest: number;
  readonly isNew: boolean;
}

/**
 * Compares what a server says of its tools with what is known of them, and keeps what is new.
 * @returns whether anything differs, and what to put on the record of it
 */
export async function recordTools(
  client: Queryable,
  report: ToolsReport,
): Promise<{ readonly changed: boolean; readonly events: readonly AuditEvent[] }> {
  const { serverId, tools } = report;
  const known = await readKnown(client, serverId);
  const others = tools.filter(({ key, canonicalHash }) => {
    const row = known.get(key);
    return row === undefined || row.unlisted || row.hash !== canonicalHash;
  });
  const versions = await readVersions(
    client,
    serverId,
    others.filter(({ key }) => known.has(key)),
  );
  const told: Told = { changes: [], held: [], suspicious: [] };
  const written = others.flatMap((item) => compare(item, { report, known: known.get(item.key), versions, told }));
  if (written.length > 0) {
    await writeTools(client, report, written);
    await writeVersions(
      client,
      report,
      written.filter(({ isNew }) => isNew),
    );
  }
  const unlisted = await markUnlisted(client, serverId, tools);
  if (written.length + unlisted > 0) await forgetVersions(client, serverId);
  return { changed: written.length + unlisted > 0, events: eventsOf(report, told) };
}

interface Told {
  readonly changes: AuditEvent[];
  readonly held: string[];
  readonly suspicious: string[];
}

function compare(
  item: Item,
  options: {
    readonly report: ToolsReport;
    readonly known: KnownRow | undefined;
    readonly versions: ReadonlyMap<string, VersionRow>;
    readonly told: Told;
  },
): Written[] {
  const { report, known, versions, told } = options;
  const tellSuspicion = (): void => {
    const risk = riskOf(findingsIn(parseJson(item.definition) as Record<string, unknown>));
    if (risk !== undefined && RISKS.indexOf(risk) >= RISKS.indexOf("HIGH")) told.suspicious.push(item.key);
  };
  if (known === undefined) {
    tellSuspicion();
    return [{ item, served: 1, reported: 1, newest: 1, isNew: true }];
  }
  const found = versions.get(versionKey(item.key, item.canonicalHash));
  const said: SaidVersion = found ?? { version: known.newest + 1, certification: "draft" };
  const { runner, nowMs, policy } = report;
  const moved = movedBy(known, said, { runner, nowMs, acceptsChanges: policy.changes === "accept" });
  const { served, reported } = moved ?? { served: known.served.version, reported: known.reported.version };
  const newest = Math.max(known.newest, said.version);
  if (moved !== undefined) {
    if (found === undefined) tellSuspicion();
    tellChange(item, { ...options, known, said, isServed: served === said.version });
  }
  if (moved === undefined && !known.unlisted) return [];
  return [{ item, served, reported, newest, isNew: found === undefined && reported === said.version }];
}

/** The record says what the server has changed, and what became of it. */
function tellChange(
  item: Item,
  options: {
    readonly report: ToolsReport;
    readonly known: KnownRow;
    readonly versions: ReadonlyMap<string, VersionRow>;
    readonly said: SaidVersion;
    readonly isServed: boolean;
    readonly told: Told;
  },
): void {
  const { report, known, versions, said, isServed, told } = options;
  const served = isServed ? said : known.served;
  const standing = standingOf({ served, reported: said, removedBy: known.removedBy }, report.policy);
  const before = [...versions.values()].find(
    ({ tool, version }) => tool === item.key && version === known.reported.version,
  );
  const { serverId, group, nowMs } = report;
  const takenBack = said.version === known.served.version ? "its server has taken the change back" : "";
  const reason = standing.reason || takenBack;
  const event = changeEvent(
    {
      tenant: "",
      resource: "tool",
      change: standing.hold === "" ? "updated" : "held",
      name: `${serverId}:${item.key}`,
      principal: `server:${serverId}`,
      group,
      server: serverId,
      tool: item.key,
      ...(before === undefined ? {} : { before: recordable(before.version, before.definition) }),
      after: recordable(said.version, item.definition),
      ...(reason === "" ? {} : { reason }),
    },
    nowMs,
  );
  told.changes.push(event);
  if (standing.hold !== "" && known.removedBy === "") told.held.push(item.key);
}

/** A definition as the record shows it; its text where it is nested too deeply for an event. */
export function recordable(version: number, definition: string): object {
  const value = parseJson(definition);
  try {
    JSON.stringify(value);
    return { version, definition: value };
  } catch {
    return { version, definition };
  }
}

function eventsOf({ serverId, group, nowMs }: ToolsReport, { changes, held, suspicious }: Told): AuditEvent[] {
  const alert = (code: "tool_changed" | "suspicious_tool", tools: readonly string[], what: string): AuditEvent[] => {
    const [tool] = tools;
    if (tool === undefined) return [];
    const more = tools.length === 1 ? "" : `, as have ${tools.length - 1} more of its tools`;
    const about = {
      tenant: INSTALLATION_TENANT,
      group,
      server: serverId,
      tool,
      reason: `${serverId}:${tool} ${what}${more}`,
    };
    return [{ v: 1, kind: "alert", id: newCallId(nowMs), endedAt: nowMs, code, ...about }];
  };
  return [
    ...changes,
    ...alert("tool_changed", held, "has another definition, which waits for approval"),
    ...alert("suspicious_tool", suspicious, "has a definition that could mislead a model"),
  ];
}

async function readKnown(client: Queryable, serverId: string): Promise<Map<string, KnownRow>> {
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
async function readVersions(
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

function versionKey(tool: string, hash: string): string {
  return `${hash} ${tool}`;
}

async function writeTools(client: Queryable, report: ToolsReport, written: readonly Written[]): Promise<void> {
  const { serverId, runner, nowMs } = report;
  await client.query(
    `INSERT INTO registry.tools AS old (server_id, tool, served, reported, newest, reporter, reported_at, first_seen)
     SELECT $1, tool, served, reported, newest, $6, $7, $7
     FROM unnest($2::text[], $3::integer[], $4::integer[], $5::integer[]) AS new (tool, served, reported, newest)
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
    ],
  );
}

async function writeVersions(client: Queryable, report: ToolsReport, written: readonly Written[]): Promise<void> {
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

async function markUnlisted(client: Queryable, serverId: string, tools: readonly Item[]): Promise<number> {
  const { rowCount } = await client.query(
    `UPDATE registry.tools SET unlisted_at = now()
     WHERE server_id = $1 AND unlisted_at IS NULL AND tool <> ALL ($2)`,
    [serverId, tools.map(({ key }) => key)],
  );
  return rowCount ?? 0;
}
