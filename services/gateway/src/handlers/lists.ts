import type { Era, RequestFrame } from "@tollgate/mcp";
import { type Policy, principalKey } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import { type Item, type Server, serversIn } from "../domain/catalogue.ts";
import { type List, listResult, LISTS, parseCursor } from "../domain/lists.ts";
import { decide } from "./decisions.ts";
import { invalidParams, type McpAnswer, type McpContext } from "./mcp-exchange.ts";

const LISTS_CACHED_MAX = 5_000;

export interface Lists {
  /** A list method's answer. */
  answer(frame: RequestFrame, context: McpContext, era: Era): Promise<McpAnswer>;
  /** What the caller sees of each list, as one text each: another text means that the list has changed for it. */
  seen(list: List, context: McpContext): Promise<string>;
}

/** What the caller may use. A page is kept for as long as what it holds does not change. */
export function createLists({ policy, registry }: { policy: Policy; registry: Registry }): Lists {
  const pages = new Map<string, string>();

  async function page(list: List, context: McpContext, { offset, era }: { offset: number; era: Era }): Promise<string> {
    const { catalogue } = registry;
    const { scope } = context;
    const servers = serversIn(catalogue, scope);
    const items = servers.flatMap((server) => (isReady(server) ? [...server.items[list.kind].values()] : []));
    const { principal, rulings } = await decide(policy, context, list.action, { subjects: items });
    const whose = [principalKey(principal), scope.group ?? "", scope.server ?? "", list.member];
    // What one sees may vary by the time and by the address, while the revisions stay.
    const allowed = rulings.map(({ decision }) => (decision.allow ? "1" : "0")).join("");
    const key = [...whose, offset, era, catalogue.revision, policy.revision, allowed].join("\n");
    const known = pages.get(key);
    if (known !== undefined) return known;
    const result = listResult({
      member: list.member,
      items: items.filter((_item: Item, i) => allowed[i] === "1"),
      prefixed: scope.server === undefined,
      unavailable: servers.filter((server) => !isReady(server)),
      offset,
      era,
    });
    if (pages.size >= LISTS_CACHED_MAX) pages.clear();
    pages.set(key, result);
    return result;
  }

  return {
    async answer(frame, context, era) {
      const offset = parseCursor(frame.params?.["cursor"]);
      if (offset === undefined) return invalidParams(frame, '"params.cursor" is not a cursor of an earlier answer');
      return { kind: "result", id: frame.id, result: await page(LISTS[frame.method]!, context, { offset, era }) };
    },
    seen: (list, context) => page(list, context, { offset: 0, era: "legacy" }),
  };
}

function isReady({ info }: Server): boolean {
  return info.status === "ready";
}
