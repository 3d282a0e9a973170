import { createHash } from "node:crypto";
import type { Era, RequestFrame } from "@tollgate/mcp";
import { type Policy, type Principal, principalKey } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import {
  type Catalogue,
  EMPTY_CATALOGUE,
  type Item,
  itemsIn,
  type Scope,
  type Server,
  serversIn,
} from "../domain/catalogue.ts";
import {
  inPageOrder,
  type Key,
  type List,
  type Listing,
  LISTS,
  PAGE_ITEMS_MAX,
  pageResult,
  parseCursor,
  startAfter,
} from "../domain/lists.ts";
import type { Caller } from "./callers.ts";
import { decide } from "./decisions.ts";
import { createKeptBytes } from "./kept-bytes.ts";
import { invalidParams, type McpAnswer, type McpContext, type SharedResult, sharedResult } from "./mcp-exchange.ts";

const PAGES_KEPT_MAX_BYTES = 128 * 1024 * 1024;
const VIEWS_KEPT_MAX = 50_000;
/** Over all listings that are kept; each costs eight bytes. */
const ITEMS_KEPT_MAX = 4_000_000;

export interface Lists {
  /** A list method's answer. */
  answer(frame: RequestFrame, context: McpContext, era: Era): McpAnswer | Promise<McpAnswer>;
  /** What the caller sees of each list, as one text each: another text means that the list has changed for it. */
  seen(list: List, context: Viewer): Promise<string>;
  /** All that the caller sees of a list. */
  all(list: List, context: Viewer): Promise<readonly Item[]>;
}

/** Who looks, and on which route. */
type Viewer = Caller & Pick<McpContext, "scope">;

/** A listing, and what has been made of it. */
interface Kept extends Listing {
  readonly id: number;
  /** In the order of pages. */
  ordered?: readonly Item[];
  digest?: string;
}

/** What a caller sees, for as long as it may be taken for granted. */
interface View {
  readonly kept: Kept;
  /** Of policy. */
  readonly revision: number;
  /** Unix milliseconds at which one of the rulings ends; 0: none does before the revision. */
  readonly untilMs: number;
}

/**
 * What the caller may use. What was found for it is remembered whole: until the catalogue or the policies change, the
 * lease ends, or one of the rulings does. Then a page is bytes that are there, and nothing is done for each tool.
 * Callers of one tenant that see the same share it; nothing is shared across tenants.
 */
export function createLists({ policy, registry }: { policy: Policy; registry: Registry }): Lists {
  const views = new Map<string, View>();
  const listings = new Map<string, Kept>();
  const pages = createKeptBytes(PAGES_KEPT_MAX_BYTES);
  let itemsKept = 0;
  let lastId = 0;
  /** Of which all of that is. */
  let catalogue: Catalogue = EMPTY_CATALOGUE;

  function forgetAll(): void {
    views.clear();
    listings.clear();
    pages.clear();
    itemsKept = 0;
  }

  function takeCatalogue(): void {
    if (catalogue === registry.catalogue) return;
    catalogue = registry.catalogue;
    forgetAll();
  }

  function viewKey(list: List, principal: Principal, { scope, address }: Viewer): string {
    const from = policy.addressMatters ? address : "";
    return `${list.member}\n${scopeKey(scope)}\n${from}\n${principalKey(principal)}`;
  }

  /** What is there already and holds now. */
  function known(list: List, context: Viewer): Kept | undefined {
    takeCatalogue();
    if (!policy.holds(context.revision)) return undefined;
    const view = views.get(viewKey(list, context.principal, context));
    if (view === undefined || view.revision !== context.revision) return undefined;
    return view.untilMs === 0 || Date.now() < view.untilMs ? view.kept : undefined;
  }

  async function find(list: List, context: Viewer): Promise<Kept> {
    const { scope } = context;
    takeCatalogue();
    const of = catalogue;
    const servers = serversIn(of, scope);
    const items = itemsIn(of, scope, { kind: list.kind, servers: servers.filter(isReady) });
    const { principal, rulings, revision } = await decide(policy, context, list.action, { subjects: items });
    const allowed = rulings.map(({ decision }) => (decision.allow ? "1" : "0")).join("");
    const key = [list.member, scopeKey(scope), principal.tenant, allowed].join("\n");
    const same = of === catalogue ? listings.get(key) : undefined;
    const kept = same ?? {
      id: (lastId += 1),
      list,
      prefixed: scope.server === undefined,
      items: items.filter((_item, i) => allowed[i] === "1"),
      unavailable: servers.filter((server) => !isReady(server)),
    };
    // The catalogue may have changed meanwhile: then this is the answer to one request only.
    if (of !== catalogue) return kept;
    if (same === undefined) {
      if ((itemsKept += kept.items.length) > ITEMS_KEPT_MAX) forgetAll();
      listings.set(key, kept);
    }
    if (views.size >= VIEWS_KEPT_MAX) views.clear();
    const ends = rulings.map(({ validUntilMs }) => validUntilMs).filter((end) => end !== 0);
    const untilMs = ends.reduce((first, end) => Math.min(first, end), ends[0] ?? 0);
    views.set(viewKey(list, principal, context), { kept, revision, untilMs });
    return kept;
  }

  function page(kept: Kept, after: Key | "start", era: Era): SharedResult {
    if (after !== "start" && kept.items.length <= PAGE_ITEMS_MAX) return oddPage(kept, after, era);
    const ordered = (kept.ordered ??= inPageOrder(kept, undefined));
    const start = after === "start" ? 0 : startAfter(ordered, after);
    // Others begin where something was removed between two pages.
    const isUsual = start % PAGE_ITEMS_MAX === 0;
    const key = `${kept.id}\n${era}\n${start}`;
    const bytes = isUsual ? pages.get(key) : undefined;
    if (bytes !== undefined) return { tail: bytes };
    const made = sharedResult(pageResult(kept, { ordered, start, era }));
    if (isUsual) pages.set(key, made.tail);
    return made;
  }

  /** The rest of a list that has become so short that its order is its servers' own. */
  function oddPage(kept: Kept, after: Key, era: Era): SharedResult {
    const ordered = inPageOrder(kept, after);
    return sharedResult(pageResult(kept, { ordered, start: startAfter(ordered, after), era }));
  }

  return {
    answer(frame, context, era) {
      const after = parseCursor(frame.params?.["cursor"]);
      if (after === undefined) return invalidParams(frame, '"params.cursor" is not a cursor of an earlier answer');
      const list = LISTS[frame.method]!;
      const toAnswer = (kept: Kept): McpAnswer => ({ kind: "result", id: frame.id, result: page(kept, after, era) });
      const kept = known(list, context);
      return kept === undefined ? find(list, context).then(toAnswer) : toAnswer(kept);
    },
    async seen(list, context) {
      const kept = known(list, context) ?? (await find(list, context));
      return (kept.digest ??= digestOf(kept));
    },
    async all(list, context) {
      return (known(list, context) ?? (await find(list, context))).items;
    },
  };
}

function scopeKey({ group, server, set }: Scope): string {
  return `${group ?? ""}\n${server ?? ""}\n${set ?? ""}`;
}

function digestOf({ items, unavailable }: Listing): string {
  const hash = createHash("sha256");
  for (const { server, definition } of items) hash.update(`${server}\n${definition}\n`);
  for (const { info } of unavailable) hash.update(`\n${info.id}\n${info.status}\n${info.reason}`);
  return hash.digest("base64");
}

function isReady({ info }: Server): boolean {
  return info.status === "ready";
}
