import type { Era } from "@tollgate/mcp";
import type { Item, Kind, Server } from "./catalogue.ts";

/** Items in one answer; a client asks for the rest with the cursor. */
export const PAGE_ITEMS_MAX = 250;
/** A uri of the longest and its server, as base64url. */
const CURSOR_MAX_CHARS = 6_000;

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

/** All that one caller sees of a list, before it is cut into pages. */
export interface Listing {
  readonly list: List;
  readonly prefixed: boolean;
  /** In their servers' own order. */
  readonly items: readonly Item[];
  /** Servers whose items are missing now. */
  readonly unavailable: readonly Server[];
}

/**
 * The items in the order in which pages go through them. Where there is more than one page that is the order of their
 * keys: it holds whatever changes between two pages, so that nothing comes twice, and nothing that stays is left out.
 */
export function inPageOrder({ items }: Listing, after: Key | undefined): readonly Item[] {
  if (items.length <= PAGE_ITEMS_MAX && after === undefined) return items;
  return items.toSorted((a, b) => compare(keyOf(a), keyOf(b)));
}

/** Where the page after an item begins in that order. */
export function startAfter(ordered: readonly Item[], after: Key): number {
  let [from, to] = [0, ordered.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (compare(keyOf(ordered[middle]!), after) <= 0) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** The result of one page: the servers' own definitions, and what is missing with its reason. */
export function pageResult(
  { list: { member }, prefixed, unavailable }: Listing,
  { ordered, start, era }: { ordered: readonly Item[]; start: number; era: Era },
): string {
  const page = ordered.slice(start, start + PAGE_ITEMS_MAX);
  const parts = [`"${member}":[${page.map((item) => (prefixed ? item.prefixed : item.definition)).join(",")}]`];
  if (start + page.length < ordered.length) parts.push(`"nextCursor":"${cursorOf(page.at(-1)!)}"`);
  if (unavailable.length > 0) {
    const missing = unavailable.map(({ info }) => ({ server: info.id, status: info.status, reason: info.reason }));
    parts.push(`"_meta":${JSON.stringify({ "tollgate/unavailable": missing })}`);
  }
  if (era === "modern") parts.push(MODERN_FIELDS);
  return `{${parts.join(",")}}`;
}

/** Required in results of 2026-07-28; the list is this caller's own and changes without notice. */
const MODERN_FIELDS = '"resultType":"complete","ttlMs":0,"cacheScope":"private"';

/** What an item is known by among those of its kind. */
export interface Key {
  readonly server: string;
  readonly name: string;
}

const keyOf = ({ server, name }: Item): Key => ({ server, name });

function compare(a: Key, b: Key): number {
  if (a.server !== b.server) return a.server < b.server ? -1 : 1;
  return a.name === b.name ? 0 : a.name < b.name ? -1 : 1;
}

function cursorOf({ server, name }: Item): string {
  return Buffer.from(JSON.stringify([server, name])).toString("base64url");
}

/** After which item a page begins: "start" without a cursor, undefined when it is not one of ours. */
export function parseCursor(cursor: unknown): Key | "start" | undefined {
  if (cursor === undefined) return "start";
  if (typeof cursor !== "string" || cursor.length > CURSOR_MAX_CHARS || !/^[\w-]+$/.test(cursor)) return undefined;
  try {
    const parsed: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    if (!Array.isArray(parsed) || parsed.length !== 2) return undefined;
    const [server, name] = parsed as unknown[];
    return typeof server === "string" && typeof name === "string" ? { server, name } : undefined;
  } catch {
    return undefined;
  }
}
