import { MODERN_REVISION, type Era } from "@tollgate/mcp";
import type { Server, Tool } from "./catalogue.ts";

/** Tools in one answer; a client asks for the rest with the cursor. */
const PAGE_TOOLS_MAX = 1_000;

/** The result of `tools/list`: the servers' own definitions, and what is missing with its reason. */
export function toolListResult(options: {
  tools: readonly Tool[];
  prefixed: boolean;
  unavailable: readonly Server[];
  offset: number;
  era: Era;
}): string {
  const { tools, prefixed, unavailable, offset, era } = options;
  const page = tools.slice(offset, offset + PAGE_TOOLS_MAX);
  const parts = [`"tools":[${page.map((tool) => (prefixed ? tool.prefixed : tool.definition)).join(",")}]`];
  if (offset + page.length < tools.length) parts.push(`"nextCursor":"${offset + page.length}"`);
  if (unavailable.length > 0) {
    const missing = unavailable.map(({ info }) => ({ server: info.id, status: info.status, reason: info.reason }));
    parts.push(`"_meta":${JSON.stringify({ "tollgate/unavailable": missing })}`);
  }
  if (era === "modern") parts.push(MODERN_FIELDS);
  return `{${parts.join(",")}}`;
}

/** Required in results of 2026-07-28; the list is this caller's own and changes without notice. */
const MODERN_FIELDS = '"resultType":"complete","ttlMs":0,"cacheScope":"private"';

/** Where a page begins, or undefined when the cursor is not one of ours. */
export function parseCursor(cursor: unknown): number | undefined {
  if (cursor === undefined) return 0;
  if (typeof cursor !== "string" || !/^\d{1,7}$/.test(cursor)) return undefined;
  return Number(cursor);
}

export function discoverResult(server: { name: string; version: string }): string {
  return JSON.stringify({
    supportedVersions: [MODERN_REVISION],
    capabilities: { tools: {} },
    resultType: "complete",
    ttlMs: 0,
    cacheScope: "private",
    _meta: { "io.modelcontextprotocol/serverInfo": server },
  });
}
