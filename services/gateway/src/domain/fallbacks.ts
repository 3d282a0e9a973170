import type { Decision, FallbackTool, Recordable } from "@tollgate/contracts";
import type { RequestFrame } from "@tollgate/mcp";
import type { Catalogue, Item } from "./catalogue.ts";
import type { Target } from "./targets.ts";

const NONE: readonly Item[] = [];

/**
 * The other tools that may answer a call when its server cannot, in the order in which they were declared, but for
 * those that cannot either. The client's route need not reach them: it has asked for the tool, and they belong to it.
 */
export function fallbacksOf({ servers }: Catalogue, { item, server }: Target, frame: RequestFrame): readonly Item[] {
  const declared = item?.rule?.fallbacks;
  // What goes on with a call goes on where it began.
  if (!declared?.length || frame.params?.["requestState"] !== undefined) return NONE;
  return declared.flatMap((each) => {
    const other = servers.get(each.server);
    const serves = other?.info.enabled && other.info.status === "ready" && other.info.group === server.info.group;
    return (serves && other.items.tool.get(each.tool)) || [];
  });
}

/** Those that the caller may use; `rulings` are in their order. One that is forbidden is not there (ADR 12). */
export function allowedOf(
  others: readonly Item[],
  rulings: readonly { readonly decision: Decision; readonly record: readonly Recordable[] }[],
): FallbackTool[] {
  return others
    .map(({ server, name, retrySafe }, at) => {
      const { decision, record } = rulings[at]!;
      return { server, tool: name, retrySafe, decision, ...(record.length === 0 ? {} : { record }) };
    })
    .filter(({ decision }) => decision.allow);
}

/** Runners keep the tool's results for when its server cannot answer. */
export function keepsResults({ item, retrySafe }: Target): boolean {
  return retrySafe && item?.rule !== undefined && item.rule.cachedResultMs > 0;
}
