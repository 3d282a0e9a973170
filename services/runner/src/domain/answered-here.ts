import type { Era } from "@tollgate/mcp";

/** Of legacy clients, and unknown to modern servers, which are told the same in other ways. */
const NOT_MODERN = new Set(["ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"]);

/**
 * Whether the runner itself answers a client's request. A shared connection has one log level for all its clients, and
 * what one of them does not want to hear of any more others may.
 */
export function isAnsweredHere(
  method: string,
  { era, shared }: { readonly era: Era; readonly shared: boolean },
): boolean {
  if (era === "modern") return NOT_MODERN.has(method);
  return shared && (method === "logging/setLevel" || method === "resources/unsubscribe");
}
