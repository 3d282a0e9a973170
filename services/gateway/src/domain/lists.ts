import type { Era } from "@tollgate/mcp";
import type { Item, Kind, Server } from "./catalogue.ts";

/** Items in one answer; a client asks for the rest with the cursor. */
const PAGE_ITEMS_MAX = 1_000;

/** What a policy may allow on an item. What may be used is listed, unless a policy denies to list it. */
export type Action = "tools/call" | "prompts/get" | "resources/read" | "tools/list" | "prompts/list" | "resources/list";

export interface List {
  readonly kind: Kind;
  /** The member of the result that holds the items, and the server's capability that goes with it. */
  readonly member: string;
  readonly capability: "tools" | "prompts" | "resources";
  readonly action: Action;
}

export const LISTS: Readonly<Record<string, List>> = {
  "tools/list": { kind: "tool", member: "tools", capability: "tools", action: "tools/list" },
  "prompts/list": { kind: "prompt", member: "prompts", capability: "prompts", action: "prompts/list" },
  "resources/list": { kind: "resource", member: "resources", capability: "resources", action: "resources/list" },
  "resources/templates/list": {
    kind: "template",
    member: "resourceTemplates",
    capability: "resources",
    action: "resources/list",
  },
};

/** The result of a list: the servers' own definitions, and what is missing with its reason. */
export function listResult(options: {
  member: string;
  items: readonly Item[];
  prefixed: boolean;
  unavailable: readonly Server[];
  offset: number;
  era: Era;
}): string {
  const { member, items, prefixed, unavailable, offset, era } = options;
  const page = items.slice(offset, offset + PAGE_ITEMS_MAX);
  const parts = [`"${member}":[${page.map((item) => (prefixed ? item.prefixed : item.definition)).join(",")}]`];
  if (offset + page.length < items.length) parts.push(`"nextCursor":"${offset + page.length}"`);
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
