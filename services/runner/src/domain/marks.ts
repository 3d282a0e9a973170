import { findMembers, insertMembers, splice } from "@tollgate/mcp";

/** Another server has answered. */
export const FALLBACK_MARK = "tollgate/fallback";
/** It is an earlier result. */
export const CACHED_MARK = "tollgate/cached";

/** A response with a mark in its result's `_meta`, and else as it was. What has no result gets none. */
export function markResult(text: string, key: string, mark: object): string {
  const resultSpan = findMembers(text, 0, ["result"])?.spans["result"];
  const result = resultSpan && findMembers(text, resultSpan.start, ["_meta"]);
  if (!result) return text;
  const metaSpan = result.spans["_meta"];
  if (!metaSpan) return splice(text, insertMembers(result, [["_meta", { [key]: mark }]]));
  const meta = findMembers(text, metaSpan.start, [key]);
  if (!meta) return splice(text, [{ ...metaSpan, text: JSON.stringify({ [key]: mark }) }]);
  // A server's own word on it would be a lie.
  const own = meta.spans[key];
  return splice(text, own ? [{ ...own, text: JSON.stringify(mark) }] : insertMembers(meta, [[key, mark]]));
}
