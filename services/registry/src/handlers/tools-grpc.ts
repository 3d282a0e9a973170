import { toolsV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { type Log, type Pool, unary } from "@tollgate/service";
import { toolNameIn } from "../domain/connector-tools.ts";
import { DECISIONS } from "../domain/tool-decision.ts";
import { toVersions } from "../domain/tool-history.ts";
import type { ToolAct } from "../store/tool-decisions.ts";
import { readToolVersions } from "../store/tool-versions.ts";
import type { Catalogue } from "./catalogue.ts";
import { addOperation, removeOperation } from "./connector-operations.ts";
import type { Entries } from "./entries.ts";
import { decideTool, removeTool, restoreTool } from "./tool-decisions.ts";

const COMMENT_MAX_CHARS = 2_000;
/** Of the database's integers. */
const VERSION_MAX = 0x7fff_ffff;

interface Options {
  readonly pool: Pool;
  readonly catalogue: Catalogue;
  readonly entries: Entries;
  readonly log: Log;
}

/** ToolService of proto/tollgate/registry/v1. */
export function createToolService(options: Options): {
  definition: toolsV1.ToolServiceService;
  implementation: toolsV1.ToolServiceServer;
} {
  const { pool, log } = options;
  return {
    definition: toolsV1.ToolServiceService,
    implementation: {
      listToolVersions: unary(log, async ({ serverId, tool }: toolsV1.ListToolVersionsRequest) => ({
        versions: await versionsOf(pool, serverId, tool),
      })),
      decideTool: unary(log, (request: toolsV1.DecideToolRequest) => decide(request, options)),
      registerTool: unary(log, (request: toolsV1.RegisterToolRequest) => register(request, options)),
      removeTool: unary(log, (request: toolsV1.RemoveToolRequest) => remove(request, options)),
    },
  };
}

/** @throws {AppError} not_found */
async function versionsOf(pool: Pool, serverId: string, tool: string): Promise<toolsV1.ToolVersion[]> {
  checkNames(serverId, tool);
  const versions = toVersions(await readToolVersions(pool, serverId, tool));
  if (versions.length > 0) return versions.map((version) => ({ serverId, tool, ...version }));
  throw new AppError("not_found", `there is no server "${serverId}" that has listed a tool "${tool}"`);
}

async function decide(
  request: toolsV1.DecideToolRequest,
  { pool, catalogue, log }: Options,
): Promise<toolsV1.DecideToolResponse> {
  const { serverId, tool, comment, actor } = request;
  const decision = DECISIONS.find((each) => each === request.decision);
  if (decision === undefined)
    throw new AppError("invalid_argument", `decision: has to be one of ${DECISIONS.join(", ")}`);
  if (comment.length > COMMENT_MAX_CHARS || comment.includes("\0"))
    throw new AppError("invalid_argument", `comment: has to be a text of at most ${COMMENT_MAX_CHARS} characters`);
  // The server may have said another since whoever approves has looked at one.
  if (decision === "approve" && request.version === 0)
    throw new AppError("invalid_argument", "version: an approval has to say which version it is of");
  if (request.version > VERSION_MAX)
    throw new AppError("not_found", `${serverId}:${tool} has no version ${request.version}`);
  const act = { ...actOf(request), version: request.version, decision, comment };
  const { version, revision } = await decideTool(pool, act);
  log.info({ server: serverId, tool, version, decision, actor }, "tool decided on");
  await catalogue.refresh();
  const decided = (await versionsOf(pool, serverId, tool)).find((each) => each.version === version);
  return { version: decided, revision };
}

async function register(
  request: toolsV1.RegisterToolRequest,
  { pool, catalogue, entries, log }: Options,
): Promise<toolsV1.RegisterToolResponse> {
  const { serverId, actor } = request;
  const { name, value } = toolNameIn(request.tool);
  const revision = isConnector(catalogue, serverId)
    ? await addOperation({ entries, catalogue }, { ...request, name, operation: value })
    : await restoreTool(pool, { ...actOf({ ...request, tool: name }) });
  log.info({ server: serverId, tool: name, actor }, "tool registered");
  await catalogue.refresh();
  return { tool: stateOf(catalogue, serverId, name), revision };
}

async function remove(
  request: toolsV1.RemoveToolRequest,
  { pool, catalogue, entries, log }: Options,
): Promise<toolsV1.RemoveToolResponse> {
  const { serverId, tool, actor } = request;
  const revision = isConnector(catalogue, serverId)
    ? await removeOperation({ entries, catalogue }, { ...request, name: tool })
    : await removeTool(pool, actOf(request));
  log.info({ server: serverId, tool, actor }, "tool removed");
  await catalogue.refresh();
  return { revision };
}

/** Nothing that a report is taken with has such names, and the database cannot hold them. @throws {AppError} not_found */
function checkNames(...names: readonly string[]): void {
  if (names.every((name) => name.isWellFormed() && !name.includes("\0"))) return;
  throw new AppError("not_found", "there is no server or tool of such a name");
}

function actOf(request: { serverId: string; tool: string; actor: string; address: string }): ToolAct {
  const { serverId, tool, actor, address } = request;
  checkNames(serverId, tool);
  return { serverId, tool, actor, address, nowMs: Date.now() };
}

function isConnector(catalogue: Catalogue, serverId: string): boolean {
  return catalogue.latest.value.servers.some(({ id, type }) => id === serverId && type === "connector");
}

/** Of a connector's new operation little is known until a runner has told of it. */
function stateOf(catalogue: Catalogue, serverId: string, name: string): toolsV1.ToolState {
  const server = catalogue.latest.value.servers.find(({ id }) => id === serverId);
  const found = [...(server?.tools ?? []), ...(server?.withheldTools ?? [])].find((tool) => tool.name === name);
  const about = { serverId, tool: name };
  if (found === undefined) return toolsV1.ToolState.fromPartial(about);
  const { version, hash, certification, hold, holdReason: reason, findings, risk, definition } = found;
  return { ...about, version, hash, certification, hold, reason, findings, risk, definition };
}
