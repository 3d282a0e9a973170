import type { Era, RequestFrame } from "@tollgate/mcp";
import type { Policy } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import { serversIn } from "../domain/catalogue.ts";
import { parseCursor, toolListResult } from "../domain/tool-list.ts";
import { decide } from "./decisions.ts";
import { invalidParams, type McpAnswer, type McpContext } from "./mcp-exchange.ts";

const LISTS_CACHED_MAX = 5_000;

export type ListTools = (frame: RequestFrame, context: McpContext, era: Era) => Promise<McpAnswer>;

/** `tools/list`: what the caller may use. A page is kept for as long as neither catalogue nor policies change. */
export function createToolLists({ policy, registry }: { policy: Policy; registry: Registry }): ListTools {
  const pages = new Map<string, string>();
  return async (frame, context, era) => {
    const offset = parseCursor(frame.params?.["cursor"]);
    if (offset === undefined) return invalidParams(frame, '"params.cursor" is not a cursor of an earlier answer');
    const { catalogue } = registry;
    const { scope } = context;
    const servers = serversIn(catalogue, scope);
    const tools = servers.filter(({ info }) => info.status === "ready").flatMap((server) => [...server.tools.values()]);
    const { principal, decisions } = await decide(policy, context, tools);
    const whose = [principal.tenant, principal.id, scope.group ?? "", scope.server ?? ""];
    const key = [...whose, offset, era, catalogue.revision, policy.revision].join("\n");
    let result = pages.get(key);
    if (result === undefined) {
      result = toolListResult({
        tools: tools.filter((_tool, i) => decisions[i]!.allow),
        prefixed: scope.server === undefined,
        unavailable: servers.filter(({ info }) => info.status !== "ready"),
        offset,
        era,
      });
      if (pages.size >= LISTS_CACHED_MAX) pages.clear();
      pages.set(key, result);
    }
    return { kind: "result", id: frame.id, result };
  };
}
