import { AppError } from "@tollgate/errors";
import { type Era, paramHeaderProblem, parseJson, resultItems, RPC } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import { type Handshake, MODERN_META } from "./handshake.ts";
import type { Wire } from "./wire.ts";

const ITEMS_MAX = 2_000;
const PAGES_MAX = 100;

/** Everything that a server offers; each tool, prompt … is its own JSON. */
export interface Offer extends Handshake {
  readonly tools: readonly string[];
  readonly prompts: readonly string[];
  readonly resources: readonly string[];
  readonly resourceTemplates: readonly string[];
}

interface Listing {
  readonly wire: Wire;
  readonly era: Era;
  readonly timeoutMs: number;
  readonly log: Log;
}

/** @throws {AppError} `unavailable` when its tools cannot be listed; what else cannot be is missing */
export async function listOffer(
  wire: Wire,
  handshake: Handshake,
  options: { timeoutMs: number; log: Log },
): Promise<Offer> {
  const listing = { wire, era: handshake.era, ...options };
  const capabilities = parseJson(handshake.capabilities) as { prompts?: unknown; resources?: unknown } | null;
  const has = (name: "prompts" | "resources") => capabilities?.[name] !== undefined;
  const [tools, prompts, resources, resourceTemplates] = await Promise.all([
    list(listing, "tools/list", "tools"),
    has("prompts") ? listIfPossible(listing, "prompts/list", "prompts") : [],
    has("resources") ? listIfPossible(listing, "resources/list", "resources") : [],
    has("resources") ? listIfPossible(listing, "resources/templates/list", "resourceTemplates") : [],
  ]);
  return {
    ...handshake,
    tools: listing.era === "modern" ? usableTools(listing, tools) : tools,
    prompts,
    resources,
    resourceTemplates,
  };
}

/** Of a remote server: a client on HTTP has to leave out tools whose marks for headers are wrong (2026-07-28, Tools). */
function usableTools({ wire, log }: Listing, tools: readonly string[]): readonly string[] {
  if (wire.pid !== 0) return tools;
  return tools.filter((tool) => {
    const problem = paramHeaderProblem(tool);
    if (problem === undefined) return true;
    const { name } = parseJson(tool) as { name?: unknown };
    log.warn({ tool: name, reason: problem }, "a tool of the server is left out");
    return false;
  });
}

/** A server is worth having for its tools alone. */
async function listIfPossible(listing: Listing, method: string, member: string): Promise<string[]> {
  return list(listing, method, member).catch((error: Error) => {
    listing.log.warn({ method, reason: error.message }, "a list of the server is missing");
    return [];
  });
}

async function list({ wire, era, timeoutMs, log }: Listing, method: string, member: string): Promise<string[]> {
  /** A server whose cursor leads back to its beginning gives the same once more. */
  const items = new Set<string>();
  const cursors = new Set<string>();
  for (;;) {
    const cursor = [...cursors].at(-1);
    const meta = era === "modern" ? { _meta: MODERN_META } : {};
    const frame = await wire.request(method, cursor === undefined ? meta : { cursor, ...meta }, timeoutMs);
    if (frame.error?.code === RPC.methodNotFound) return [];
    if (frame.error !== undefined)
      throw new AppError("unavailable", `${method} failed: ${JSON.stringify(frame.error.message)}`);
    for (const item of resultItems(frame, member)) items.add(item);
    if (items.size > ITEMS_MAX) throw new AppError("unavailable", `the server offers more than ${ITEMS_MAX} ${member}`);
    const next = (frame.result as { nextCursor?: unknown } | null)?.nextCursor;
    if (typeof next !== "string") return [...items];
    if (cursors.has(next)) {
      log.warn({ method }, "the server gives a cursor again; its list ends there");
      return [...items];
    }
    cursors.add(next);
    if (cursors.size >= PAGES_MAX) throw new AppError("unavailable", `${method} did not end within ${PAGES_MAX} pages`);
  }
}
