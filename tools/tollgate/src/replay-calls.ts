import { AppError } from "@tollgate/errors";
import { z } from "zod";
import { atGateway, type Connect } from "./connect.ts";
import { onOneLine } from "./dead-letters.ts";
import { jsonDifferences } from "./json-difference.ts";
import { type McpSession, openMcpSession } from "./mcp-session.ts";
import { askOwnGateway, type OwnGateway } from "./own-gateway.ts";
import type { ReplayCallsCommand } from "./replay-command.ts";
import { openReplayState, type ReplayState, type Verdict } from "./replay-state.ts";

const PAGE_MAX = 1_000;
const TIMEOUT_MS = 30_000;
const DIFFERENCES_SHOWN_MAX = 20;
const VALUE_SHOWN_MAX_CHARS = 120;
const PROGRESS_EVERY = 25;
/** What a gateway or a revision adds to a result, and no tool says. */
const NO_RESULT_OF_TOOLS = ["_meta", "resultType"];

const server = z.object({ id: z.string(), group: z.string() });
const tools = z.object({
  items: z.array(
    z.object({
      name: z.string(),
      definition: z.looseObject({ annotations: z.looseObject({ readOnlyHint: z.unknown() }).nullish() }),
    }),
  ),
});
const call = z.object({
  id: z.string(),
  tool: z.string(),
  method: z.string(),
  tenant: z.string(),
  recorded: z.object({ arguments: z.unknown(), result: z.unknown() }).partial().optional(),
});
type Call = z.infer<typeof call>;
const page = z.object({ items: z.array(call), nextCursor: z.string().nullable() });
const recording = z.object({ arguments: z.unknown(), result: z.unknown() }).partial();

interface Output {
  /** A line for whoever reads the outcome. */
  readonly line: (text: string) => void;
  /** How far it is. */
  readonly progress: (text: string) => void;
}

/**
 * Runs recorded calls again, oldest first, one after the other, through the gateway and with the user's own token: what
 * they may not call is refused, and each call is recorded and billed like any other.
 * @returns how many of them did not give what they gave then
 */
export async function replayCalls(
  command: ReplayCallsCommand,
  { connect, output }: { connect: Connect; output: Output },
): Promise<number> {
  const { gatewayUrl: url, certFile, adminToken, token } = connect;
  const gateway = { url, certFile };
  return atGateway(url, async () => {
    const api = openApi(gateway, adminToken);
    const target = await api(`/api/v1/servers/${encodeURIComponent(command.against ?? command.server)}`, server);
    const readOnly = await readOnlyTools(api, target.id);
    if (command.tool !== undefined && !readOnly.has(command.tool))
      throw new AppError(
        "failed_precondition",
        `${target.id}:${command.tool} is not declared read-only (annotations.readOnlyHint): it is not run again`,
      );
    const { resumeFile, limit: _limit, stateDir: _stateDir, kind: _kind, to, ...asked } = command;
    const state = openReplayState(resumeFile, asked, to ?? new Date().toISOString());
    const found = await listCalls(api, { ...command, to: state.to });
    const { runnable, skipped } = sort(found, readOnly);
    const path = `/mcp/${encodeURIComponent(target.group)}/${encodeURIComponent(target.id)}`;
    const session = await openMcpSession({ gateway, path, token });
    try {
      for (const [at, each] of runnable.entries()) {
        if (!state.done.has(each.id)) state.add(each.id, await runAgain(each, { api, session, command, output }));
        if ((at + 1) % PROGRESS_EVERY === 0) output.progress(`${at + 1} of ${runnable.length} calls`);
      }
    } finally {
      await session.close();
    }
    return summarize(runnable, skipped, { state, output });
  });
}

type Api = <T>(path: string, schema: z.ZodType<T>) => Promise<T>;

function openApi(gateway: OwnGateway, adminToken: string): Api {
  return async (path, schema) => {
    const { status, text } = await askOwnGateway(gateway, path, {
      method: "GET",
      headers: { authorization: `Bearer ${adminToken}`, accept: "application/json" },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (status >= 300) throw new AppError("unavailable", detailOf(text) ?? `${path} answered ${status}`);
    return schema.parse(JSON.parse(text));
  };
}

function detailOf(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { detail?: string }).detail;
  } catch {
    return undefined;
  }
}

/** What a tool says of itself has to be there: whatever is not said to be harmless might do something. */
async function readOnlyTools(api: Api, serverId: string): Promise<Set<string>> {
  const { items } = await api(`/api/v1/servers/${encodeURIComponent(serverId)}/tools`, tools);
  const harmless = items.filter(({ definition }) => definition.annotations?.readOnlyHint === true);
  return new Set(harmless.map(({ name }) => name));
}

/** The newest ones, oldest first. */
async function listCalls(
  api: Api,
  asked: Pick<ReplayCallsCommand, "server" | "tool" | "tenant" | "from" | "limit"> & { to: string },
): Promise<Call[]> {
  const found: Call[] = [];
  for (let cursor: string | null = ""; cursor !== null && found.length < asked.limit;) {
    const query = new URLSearchParams({ kind: "call", server: asked.server, to: asked.to });
    for (const name of ["tool", "tenant", "from"] as const) if (asked[name] !== undefined) query.set(name, asked[name]);
    query.set("limit", String(Math.min(PAGE_MAX, asked.limit - found.length)));
    if (cursor !== "") query.set("cursor", cursor);
    const answer: z.infer<typeof page> = await api(`/api/v1/audit/events?${query.toString()}`, page);
    found.push(...answer.items);
    cursor = answer.nextCursor;
  }
  return found.toReversed();
}

/** Why calls are left out, with how many. */
type Skipped = ReadonlyMap<string, number>;

function sort(calls: readonly Call[], readOnly: ReadonlySet<string>): { runnable: Call[]; skipped: Skipped } {
  const skipped = new Map<string, number>();
  const runnable = calls.filter(({ method, tool, recorded }) => {
    const isKept = recorded?.arguments !== undefined && recorded.result !== undefined;
    const reason =
      method !== "tools/call"
        ? "are not of tools"
        : !readOnly.has(tool)
          ? "are of tools that are not declared read-only"
          : isKept
            ? undefined
            : "were recorded without their arguments and results";
    if (reason !== undefined) skipped.set(reason, (skipped.get(reason) ?? 0) + 1);
    return reason === undefined;
  });
  return { runnable, skipped };
}

async function runAgain(
  { id, tool, tenant }: Call,
  { api, session, command, output }: { api: Api; session: McpSession; command: ReplayCallsCommand; output: Output },
): Promise<Verdict> {
  const name = `${id} ${onOneLine(tool)}`;
  const query = new URLSearchParams({ tenant });
  let kept: z.infer<typeof recording>;
  let now: unknown;
  try {
    kept = await api(`/api/v1/audit/events/${id}/recording?${query.toString()}`, recording);
    now = await session.call(tool, kept.arguments);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    output.line(`${name}: could not be run again: ${onOneLine(error.message)}`);
    return "failed";
  }
  const differences = jsonDifferences(kept.result, now, [...NO_RESULT_OF_TOOLS, ...command.ignore]);
  for (const { path, before, after } of differences.slice(0, DIFFERENCES_SHOWN_MAX))
    output.line(`${name}: ${onOneLine(path) || "the result"}: ${shown(before)} → ${shown(after)}`);
  const more = differences.length - DIFFERENCES_SHOWN_MAX;
  if (more > 0) output.line(`${name}: and ${more} more differences`);
  return differences.length === 0 ? "same" : "different";
}

function shown(json: string | undefined): string {
  if (json === undefined) return "nothing";
  const text = onOneLine(json);
  return text.length > VALUE_SHOWN_MAX_CHARS ? `${text.slice(0, VALUE_SHOWN_MAX_CHARS)}…` : text;
}

function summarize(
  calls: readonly Call[],
  skipped: Skipped,
  { state, output }: { state: ReplayState; output: Output },
): number {
  const count = (verdict: Verdict) => calls.filter(({ id }) => state.done.get(id) === verdict).length;
  const [same, different, failed] = [count("same"), count("different"), count("failed")];
  output.line(`${calls.length} calls run again: ${same} the same, ${different} different, ${failed} failed`);
  for (const [reason, number] of skipped) output.line(`${number} left out: they ${reason}`);
  return different + failed;
}
