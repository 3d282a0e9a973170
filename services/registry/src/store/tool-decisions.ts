import { type Change, changeEvent } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { enqueueEvents, type Pool, withTransaction } from "@tollgate/service";
import { CHANGE_OF, type Decision, decideOn } from "../domain/tool-decision.ts";
import type { Certification } from "../domain/tool-standing.ts";
import { touchItems } from "./reports.ts";
import { lockRevision, type Queryable, setRevision } from "./revision.ts";
import { recordable } from "./tool-reports.ts";

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

interface VersionRow {
  readonly version: number;
  readonly definition: string;
  readonly certification: Certification;
  readonly submittedBy: string;
}

/**
 * @param version 0: what the server says now
 * @returns the version that was decided on, and the catalogue's revision
 * @throws {AppError} not_found, failed_precondition
 */
export async function decideTool(
  pool: Pool,
  act: ToolAct & { readonly version: number; readonly decision: Decision; readonly comment: string },
): Promise<{ readonly version: number; readonly revision: bigint }> {
  const { actor, decision, comment } = act;
  return withTransaction(pool, async (client) => {
    const current = await lockRevision(client);
    const tool = await readTool(client, act);
    const row = await readVersion(client, act, act.version || tool.reported);
    const { version } = row;
    const decided = decideOn({ ...row, ...tool }, decision, { actor, fourEyes: tool.fourEyes });
    if (!decided.ok) throw new AppError("failed_precondition", `${act.serverId}:${act.tool}: ${decided.reason}`);
    const before = decision === "approve" ? await readVersion(client, act, tool.served) : row;
    await writeVersion(client, act, { version, certification: decided.certification });
    if (decision === "approve") await replaceServed(client, act, { version, reported: tool.reported });
    const event = {
      change: CHANGE_OF[decision],
      before: shown(before),
      after: shown({ ...row, certification: decided.certification }),
      ...(comment === "" ? {} : { reason: comment }),
    };
    return { version, revision: await finish(client, act, { current, group: tool.group, event }) };
  });
}

/** Offers the tool to nobody. Removing it again changes nothing. @throws {AppError} not_found */
export async function removeTool(pool: Pool, act: ToolAct): Promise<bigint> {
  return withTransaction(pool, async (client) => {
    const current = await lockRevision(client);
    const { group, removedBy } = await readTool(client, act);
    if (removedBy !== "") return current;
    await setRemovedBy(client, act, act.actor);
    return finish(client, act, { current, group, event: { change: "removed" } });
  });
}

/** Offers a tool again that was removed. @throws {AppError} not_found, already_exists */
export async function restoreTool(pool: Pool, act: ToolAct): Promise<bigint> {
  return withTransaction(pool, async (client) => {
    const current = await lockRevision(client);
    const { group, removedBy } = await readTool(client, act);
    if (removedBy === "") throw new AppError("already_exists", `server "${act.serverId}" has the tool "${act.tool}"`);
    await setRemovedBy(client, act, "");
    return finish(client, act, { current, group, event: { change: "put_back" } });
  });
}

async function readTool(client: Queryable, { serverId, tool }: ToolAct): Promise<ToolRow> {
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

async function readVersion(client: Queryable, { serverId, tool }: ToolAct, version: number): Promise<VersionRow> {
  const { rows } = await client.query<VersionRow>(
    `SELECT version, definition, certification, submitted_by AS "submittedBy" FROM registry.tool_versions
     WHERE server_id = $1 AND tool = $2 AND version = $3`,
    [serverId, tool, version],
  );
  if (rows[0] !== undefined) return rows[0];
  throw new AppError("not_found", `${serverId}:${tool} has no version ${version}`);
}

async function writeVersion(
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
async function replaceServed(
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

async function setRemovedBy(client: Queryable, { serverId, tool }: ToolAct, by: string): Promise<void> {
  await client.query("UPDATE registry.tools SET removed_by = $3 WHERE server_id = $1 AND tool = $2", [
    serverId,
    tool,
    by,
  ]);
}

function shown({ version, certification, definition }: VersionRow): object {
  return { certification, ...recordable(version, definition) };
}

async function finish(
  client: Queryable,
  { serverId, tool, actor, address, nowMs }: ToolAct,
  options: {
    readonly current: bigint;
    readonly group: string;
    readonly event: Pick<Change, "change" | "before" | "after" | "reason">;
  },
): Promise<bigint> {
  const { group, event } = options;
  const revision = options.current + 1n;
  await touchItems(client, serverId, revision);
  await setRevision(client, revision);
  const about = { tenant: "", resource: "tool", name: `${serverId}:${tool}`, group, server: serverId, tool } as const;
  const by = { principal: actor, ...(address === "" ? {} : { address }) };
  await enqueueEvents(client, "registry", [changeEvent({ ...about, ...by, ...event }, nowMs)]);
  return revision;
}
