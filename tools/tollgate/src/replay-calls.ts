import { AppError } from "@tollgate/errors";
import { z } from "zod";
import { type Api, openApi } from "./api.ts";
import type { Target } from "./connect.ts";
import { jsonDifferences } from "./json-difference.ts";
import { type McpSession, openMcpSession } from "./mcp-session.ts";
import { openReplayState, type ReplayState, type Verdict } from "./replay-state.ts";
import { onOneLine } from "./terminal-text.ts";

const PAGE_MAX = 1_000;
const TOOLS_MAX = 10_000;
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

export interface ReplayCallsCommand {
  readonly server: string;
  /** Another server that is asked in its place. */
  readonly against?: string | undefined;
  readonly tool?: string | undefined;
  readonly tenant?: string | undefined;
  /** ISO 8601, or Unix milliseconds. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly limit: number;
  /** Places in results that are expected to differ. */
  readonly ignore: readonly string[];
  /** Where is written down what is done, and read what was done before. */
  readonly resumeFile: string | undefined;
}

/** How many of them gave what they gave then; those that were not run again by why. */
export interface ReplayResult extends Readonly<Record<Verdict | "calls", number>> {
  readonly leftOut: Readonly<Record<string, number>>;
}

interface Output {
  /** A line for whoever reads the outcome. */
  readonly line: (text: string) => void;
  /** How far it is. */
  readonly progress: (text: string) => void;
}

/**
 * Runs recorded calls again, oldest first, one after the other, through the gateway and with the user's own token: what
 * they may not call is refused, and each call is recorded and billed like any other.
 */
export async function replayCalls(
  command: ReplayCallsCommand,
  { gateway, output }: { gateway: Target; output: Output },
): Promise<ReplayResult> {
  const api = openApi(gateway);
  const get = readerOf(api);
  const target = await get(`/api/v1/servers/${encodeURIComponent(command.against ?? command.server)}`, server);
  const readOnly = await readOnlyTools(api, target.id);
  if (command.tool !== undefined && !readOnly.has(command.tool))
    throw new AppError(
      "failed_precondition",
      `${target.id}:${command.tool} is not declared read-only (annotations.readOnlyHint): it is not run again`,
    );
  const { resumeFile, limit: _limit, to, ...asked } = command;
  const state = openReplayState(resumeFile, asked, to ?? new Date().toISOString());
  const found = await listCalls(get, { ...command, to: state.to });
  const { runnable, skipped } = sort(found, readOnly);
  const path = `/mcp/${encodeURIComponent(target.group)}/${encodeURIComponent(target.id)}`;
  const session = await openMcpSession({ gateway, path, token: gateway.clientToken });
  try {
    for (const [at, each] of runnable.entries()) {
      if (!state.done.has(each.id)) state.add(each.id, await runAgain(each, { get, session, command, output }));
      if ((at + 1) % PROGRESS_EVERY === 0) output.progress(`${at + 1} of ${runnable.length} calls`);
    }
  } finally {
    await session.close();
  }
  return summarize(runnable, skipped, { state, output });
}

type Get = <T>(path: string, schema: z.ZodType<T>) => Promise<T>;

function readerOf(api: Api): Get {
  return async (path, schema) => schema.parse(await api.get(path));
}

/** What a tool says of itself has to be there: whatever is not said to be harmless might do something. */
async function readOnlyTools(api: Api, serverId: string): Promise<Set<string>> {
  const path = `/api/v1/servers/${encodeURIComponent(serverId)}/tools`;
  const { items } = tools.parse(await api.list(path, { limit: TOOLS_MAX }));
  const harmless = items.filter(({ definition }) => definition.annotations?.readOnlyHint === true);
  return new Set(harmless.map(({ name }) => name));
}

/** The newest ones, oldest first. */
async function listCalls(
  get: Get,
  asked: Pick<ReplayCallsCommand, "server" | "tool" | "tenant" | "from" | "limit"> & { to: string },
): Promise<Call[]> {
  const found: Call[] = [];
  for (let cursor: string | null = ""; cursor !== null && found.length < asked.limit;) {
    const query = new URLSearchParams({ kind: "call", server: asked.server, to: asked.to });
    for (const name of ["tool", "tenant", "from"] as const) if (asked[name] !== undefined) query.set(name, asked[name]);
    query.set("limit", String(Math.min(PAGE_MAX, asked.limit - found.length)));
    if (cursor !== "") query.set("cursor", cursor);
    const answer: z.infer<typeof page> = await get(`/api/v1/audit/events?${query.toString()}`, page);
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
  { get, session, command, output }: { get: Get; session: McpSession; command: ReplayCallsCommand; output: Output },
): Promise<Verdict> {
  const name = `${id} ${onOneLine(tool)}`;
  const query = new URLSearchParams({ tenant });
  let kept: z.infer<typeof recording>;
  let now: unknown;
  try {
    kept = await get(`/api/v1/audit/events/${id}/recording?${query.toString()}`, recording);
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
): ReplayResult {
  const count = (verdict: Verdict) => calls.filter(({ id }) => state.done.get(id) === verdict).length;
  const result = { calls: calls.length, same: count("same"), different: count("different"), failed: count("failed") };
  output.line(
    `${calls.length} calls run again: ${result.same} the same, ${result.different} different, ${result.failed} failed`,
  );
  for (const [reason, number] of skipped) output.line(`${number} left out: they ${reason}`);
  return { ...result, leftOut: Object.fromEntries(skipped) };
}
