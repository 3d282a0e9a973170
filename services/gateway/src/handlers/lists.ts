import { hash } from "node:crypto";
import type { Era, RequestFrame } from "@tollgate/mcp";
import { type Policy, principalKey } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import {
  type Catalogue,
  EMPTY_CATALOGUE,
  type Item,
  itemsIn,
  resolveScope,
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
import { createBoundedMap } from "./bounded-map.ts";
import type { Caller } from "./callers.ts";
import { decide } from "./decisions.ts";
import { createListParts, type Part, type SeenPart } from "./list-parts.ts";
import { invalidParams, type McpAnswer, type McpContext, type SharedResult, sharedResult } from "./mcp-exchange.ts";

const PAGES_KEPT_MAX_BYTES = 128 * 1024 * 1024;
const LISTINGS_KEPT_MAX_BYTES = 64 * 1024 * 1024;
/** Of an item or a part in a list. */
const POINTER_BYTES = 8;
/** Over all callers and lists. */
const VIEWS_KEPT_MAX_BYTES = 64 * 1024 * 1024;
/** One of each server. */
const SEEN_PART_BYTES = 80;
/** A view that nobody has asked for over so many catalogues goes, and with it what it holds of old ones. */
const CATALOGUES_KEPT_MAX = 64;

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
  readonly parts: readonly Part[];
  /** In the order of pages. */
  ordered?: readonly Item[];
  digest?: string;
}

/** What a caller sees, for as long as it may be taken for granted. */
interface View {
  readonly catalogue: Catalogue;
  /** The how many-th catalogue that is. */
  readonly turn: number;
  readonly kept: Kept;
  /** Of each server. It outlives the catalogue, as the server may. */
  readonly parts: ReadonlyMap<Server, SeenPart>;
  /** Of policy. */
  readonly revision: number;
  /** Unix milliseconds at which one of the rulings ends; 0: none does before the revision. */
  readonly untilMs: number;
}

const NO_PARTS: View["parts"] = new Map();

/**
 * What the caller may use. What was found for it is remembered whole: until the catalogue or the policies change, the
 * lease ends, or one of the rulings does. Then a page is bytes that are there, and nothing is done for each tool; and
 * when the catalogue changes, only of the servers that have changed. Callers of one tenant that see the same share it;
 * nothing is shared across tenants.
 */
export function createLists({ policy, registry }: { policy: Policy; registry: Registry }): Lists {
  const views = createBoundedMap<View>(VIEWS_KEPT_MAX_BYTES, ({ parts }) => parts.size * SEEN_PART_BYTES);
  const listings = createBoundedMap<Kept>(
    LISTINGS_KEPT_MAX_BYTES,
    // Its items stand there twice when they have been put in the order of pages.
    ({ items, parts }) => (2 * items.length + parts.length) * POINTER_BYTES,
  );
  const pages = createBoundedMap<Buffer>(PAGES_KEPT_MAX_BYTES, ({ length }) => length);
  const listParts = createListParts();
  let lastId = 0;
  /** Of which the listings and pages are. */
  let catalogue: Catalogue = EMPTY_CATALOGUE;
  let turn = 0;

  function takeCatalogue(): void {
    if (catalogue === registry.catalogue) return;
    catalogue = registry.catalogue;
    turn += 1;
    listings.clear();
    pages.clear();
    if (turn % CATALOGUES_KEPT_MAX === 0) views.drop((view) => view.turn <= turn - CATALOGUES_KEPT_MAX);
  }

  /** @param viewer with the route by what it leads to in this catalogue: others make up as many names as they like */
  function viewKey(list: List, { principal, scope, address }: Viewer): string {
    const from = policy.addressMatters ? address : "";
    return `${list.member}\n${scopeKey(scope)}\n${from}\n${principalKey(principal)}`;
  }

  /** What is there already and holds now. */
  function known(list: List, viewer: Viewer): Kept | undefined {
    takeCatalogue();
    if (!policy.holds(viewer.revision)) return undefined;
    const view = views.get(viewKey(list, { ...viewer, scope: resolveScope(catalogue, viewer.scope) }));
    if (view?.catalogue !== catalogue || view.revision !== viewer.revision) return undefined;
    return view.untilMs === 0 || Date.now() < view.untilMs ? view.kept : undefined;
  }

  /** What is known already of servers that have not changed since. In a set there may be more of one now, or less. */
  function knownParts(list: List, viewer: Viewer): View["parts"] {
    const view = views.get(viewKey(list, viewer));
    const holds = view?.revision === viewer.revision && policy.holds(viewer.revision);
    return holds && viewer.scope.set === undefined ? view.parts : NO_PARTS;
  }

  async function find(list: List, asking: Viewer): Promise<Kept> {
    takeCatalogue();
    const of = catalogue;
    const scope = resolveScope(of, asking.scope);
    const viewer = { ...asking, scope };
    const servers = serversIn(of, scope);
    const [before, nowMs] = [knownParts(list, viewer), Date.now()];
    const parts = new Map<Server, SeenPart | undefined>();
    for (const server of servers.filter(isReady)) {
      const seen = before.get(server);
      parts.set(server, seen !== undefined && (seen.untilMs === 0 || nowMs < seen.untilMs) ? seen : undefined);
    }
    const unknown = [...parts].flatMap(([server, seen]) => (seen === undefined ? [server] : []));
    const offered = unknown.map((server) => itemsIn(of, scope, { kind: list.kind, servers: [server] }));
    const decided = await decide(policy, viewer, list.action, { subjects: offered.flat() });
    const { principal, rulings, revision } = decided;
    // What was known is of an older revision: all of it is decided anew.
    if (revision !== viewer.revision && before.size > 0) return find(list, { ...asking, principal, revision });
    let from = 0;
    for (const [n, server] of unknown.entries()) {
      const asked = offered[n]!;
      const own = rulings.slice(from, (from += asked.length));
      parts.set(server, listParts.partOf(server, { tenant: principal.tenant, offered: asked, rulings: own }));
    }
    return keep(list, { ...viewer, principal, revision }, { of, servers, parts: parts as Map<Server, SeenPart> });
  }

  function keep(
    list: List,
    viewer: Viewer,
    { of, servers, parts }: { of: Catalogue; servers: readonly Server[]; parts: View["parts"] },
  ): Kept {
    const { scope, principal, revision } = viewer;
    const seen = [...parts.values()];
    const ids = seen.map(({ part }) => part.id).join(" ");
    const key = [list.member, scopeKey(scope), principal.tenant, ids].join("\n");
    const same = of === catalogue ? listings.get(key) : undefined;
    const kept = same ?? {
      id: (lastId += 1),
      list,
      prefixed: scope.server === undefined,
      parts: seen.map(({ part }) => part),
      items: seen.flatMap(({ part }) => part.items),
      unavailable: servers.filter((server) => !isReady(server)),
    };
    // The catalogue may have changed meanwhile: then this is the answer to one request only.
    if (of !== catalogue) return kept;
    if (same === undefined) listings.set(key, kept);
    const ends = seen.map(({ untilMs }) => untilMs).filter((end) => end !== 0);
    const untilMs = ends.length === 0 ? 0 : Math.min(...ends);
    views.set(viewKey(list, viewer), { catalogue: of, turn, kept, parts, revision, untilMs });
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

function digestOf({ parts, unavailable }: Kept): string {
  const missing = unavailable.map(({ info }) => [info.id, info.status, info.reason]);
  const there = parts.flatMap((part) => (part.items.length === 0 ? [] : [[part.items[0]!.server, part.digest()]]));
  return hash("sha256", JSON.stringify([there, missing]), "base64");
}

function isReady({ info }: Server): boolean {
  return info.status === "ready";
}
