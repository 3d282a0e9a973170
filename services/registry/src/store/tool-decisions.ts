import { AppError } from "@tollgate/errors";
import type { Decision } from "../domain/tool-decision.ts";
import type { Certification } from "../domain/tool-standing.ts";
import type { Queryable } from "./revision.ts";

/** A tool, and who does something about it. */
export interface ToolAct {
  readonly serverId: string;
  readonly tool: string;
  readonly actor: string;
  readonly address: string;
  readonly nowMs: number;
}

interface ToolRow {
  readonly group: string;
  readonly type: string;
  readonly fourEyes: boolean;
  readonly served: number;
  readonly reported: number;
  readonly removedBy: string;
}

export interface DecidedRow {
  readonly version: number;
  readonly definition: string;
  readonly certification: Certification;
  readonly submittedBy: string;
}

export async function readTool(client: Queryable, { serverId, tool }: ToolAct): Promise<ToolRow> {
  const { rows } = await client.query<ToolRow & { known: boolean }>(
    `SELECT group_id AS "group", type, four_eyes AS "fourEyes", served, reported, removed_by AS "removedBy",
       tools.tool IS NOT NULL AS known
     FROM registry.servers LEFT JOIN registry.tools ON server_id = id AND tools.tool = $2 WHERE id = $1`,
    [serverId, tool],
  );
  const row = rows[0];
  if (row === undefined) throw new AppError("not_found", `there is no server "${serverId}"`);
  if (!row.known) throw new AppError("not_found", `server "${serverId}" has never listed a tool "${tool}"`);
  return row;
}

export async function readVersion(
  client: Queryable,
  { serverId, tool }: ToolAct,
  version: number,
): Promise<DecidedRow> {
  const { rows } = await client.query<DecidedRow>(
    `SELECT version, definition, certification, submitted_by AS "submittedBy" FROM registry.tool_versions
     WHERE server_id = $1 AND tool = $2 AND version = $3`,
    [serverId, tool, version],
  );
  if (rows[0] !== undefined) return rows[0];
  throw new AppError("not_found", `${serverId}:${tool} has no version ${version}`);
}

export async function writeVersion(
  client: Queryable,
  { serverId, tool, decision, actor, comment, nowMs }: ToolAct & { decision: Decision; comment: string },
  { version, certification }: { version: number; certification: Certification },
): Promise<void> {
  const at = new Date(nowMs);
  const whose =
    decision === "submit" ? "submitted_by = $5, comment = $6" : "decided_by = $5, decided_at = $7, comment = $6";
  await client.query(
    `UPDATE registry.tool_versions SET certification = $4, ${whose}
     WHERE server_id = $1 AND tool = $2 AND version = $3`,
    [serverId, tool, version, certification, actor, comment, ...(decision === "submit" ? [] : [at])],
  );
}

/** One version is approved of at most. What was served before is retired by that. */
export async function replaceServed(
  client: Queryable,
  { serverId, tool, actor, nowMs }: ToolAct,
  { version, reported }: { version: number; reported: number },
): Promise<void> {
  await client.query(
    `UPDATE registry.tool_versions AS old
     SET certification = 'retired', decided_by = $4, decided_at = $5, comment = 'replaced by version ' || $3::integer
     FROM registry.tools AS tool
     WHERE old.server_id = $1 AND old.tool = $2 AND tool.server_id = $1 AND tool.tool = $2 AND old.version <> $3
       AND (old.certification = 'approved' OR old.version = tool.served)`,
    [serverId, tool, version, actor, new Date(nowMs)],
  );
  if (version !== reported) return;
  await client.query("UPDATE registry.tools SET served = $3 WHERE server_id = $1 AND tool = $2", [
    serverId,
    tool,
    version,
  ]);
}

export async function setRemovedBy(client: Queryable, { serverId, tool }: ToolAct, by: string): Promise<void> {
  await client.query("UPDATE registry.tools SET removed_by = $3 WHERE server_id = $1 AND tool = $2", [
    serverId,
    tool,
    by,
  ]);
}
