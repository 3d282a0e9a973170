import { type Change, changeEvent } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { enqueueEvents, type Pool, withTransaction } from "@tollgate/service";
import { CHANGE_OF, type Decision, decideOn } from "../domain/tool-decision.ts";
import { FLOODED, recordable } from "../domain/tool-report.ts";
import { touchItems } from "../store/reports.ts";
import { lockRevision, type Queryable, setRevision } from "../store/revision.ts";
import {
  type DecidedRow,
  readTool,
  readVersion,
  replaceServed,
  setRemovedBy,
  type ToolAct,
  writeVersion,
} from "../store/tool-decisions.ts";

/**
 * @param act.version 0: what the server says now
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
    if (removedBy !== "" && removedBy !== FLOODED) return current;
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

function shown({ version, certification, definition }: DecidedRow): object {
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
