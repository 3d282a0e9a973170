import type { Frame } from "./frame.ts";
import { type Edit, elementsOf, findMembers, insertMembers, type Span, splice } from "./spans.ts";

/** A request with `params.name` changed, or why that cannot be done safely. */
export function setToolName(frame: Frame, name: string): { ok: true; text: string } | { ok: false; reason: string } {
  const at = frame.members.spans["params"];
  const params = at && findMembers(frame.text, at.start, ["name", "arguments", "_meta"]);
  const span = params?.spans["name"];
  if (!params || !span) return { ok: false, reason: '"params.name" is missing' };
  if (params.ambiguous !== undefined)
    return { ok: false, reason: `"params.${params.ambiguous}" is given more than once` };
  if (frame.params?.["name"] === name) return { ok: true, text: frame.text };
  return { ok: true, text: splice(frame.text, [{ ...span, text: JSON.stringify(name) }]) };
}

export interface RewrittenRequest {
  readonly text: string;
  /** The client's own id and progress token as they stood in the text, to be put back into what comes back. */
  readonly idText: string;
  readonly progressTokenText: string | undefined;
}

/**
 * A request for the server: with an id of ours, so that clients cannot collide on a shared process, with a progress
 * token of ours where the client gave one, and with the members of `meta` in `_meta` where they are not there yet.
 */
export function rewriteRequest(
  frame: Frame,
  options: { id: number; meta?: Readonly<Record<string, unknown>> },
): RewrittenRequest {
  const { text, members } = frame;
  const idSpan = members.spans["id"]!;
  const edits: Edit[] = [{ ...idSpan, text: String(options.id) }];
  const paramsSpan = members.spans["params"];
  const params = paramsSpan && findMembers(text, paramsSpan.start, ["_meta"]);
  const metaSpan = params?.spans["_meta"];
  const given = metaSpan && findMembers(text, metaSpan.start, ["progressToken", ...Object.keys(options.meta ?? {})]);
  const tokenSpan = given?.spans["progressToken"];
  if (tokenSpan) edits.push({ ...tokenSpan, text: String(options.id) });

  if (options.meta !== undefined) {
    const missing = Object.entries(options.meta).filter(([key]) => given?.spans[key] === undefined);
    if (given) edits.push(...insertMembers(given, missing));
    else if (params) edits.push(...insertMembers(params, [["_meta", options.meta]]));
    else edits.push(...insertMembers(members, [["params", { _meta: options.meta }]]));
  }
  return {
    text: splice(text, edits),
    idText: textOf(text, idSpan),
    progressTokenText: tokenSpan && textOf(text, tokenSpan),
  };
}

/** A response for the client: its own id back, and `members` put into the result where they are not there yet. */
export function rewriteResponse(
  frame: Frame,
  options: { idText: string; members?: Readonly<Record<string, unknown>> },
): string {
  const { text, members } = frame;
  const edits: Edit[] = [{ ...members.spans["id"]!, text: options.idText }];
  const resultSpan = members.spans["result"];
  if (options.members !== undefined && resultSpan) {
    const result = findMembers(text, resultSpan.start, Object.keys(options.members));
    const missing = Object.entries(options.members).filter(([key]) => result?.spans[key] === undefined);
    if (result) edits.push(...insertMembers(result, missing));
  }
  return splice(text, edits);
}

/** A progress notification with the client's own token back. */
export function rewriteProgress(frame: Frame, progressTokenText: string): string | undefined {
  const paramsSpan = frame.members.spans["params"];
  const span = paramsSpan && findMembers(frame.text, paramsSpan.start, ["progressToken"])?.spans["progressToken"];
  return span && splice(frame.text, [{ ...span, text: progressTokenText }]);
}

/** The tools of a `tools/list` result, each as its server wrote it. */
export function toolTexts(frame: Frame): string[] {
  const result = frame.members.spans["result"];
  const tools = result && findMembers(frame.text, result.start, ["tools"])?.spans["tools"];
  return tools ? elementsOf(frame.text, tools.start) : [];
}

function textOf(text: string, span: Span): string {
  return text.slice(span.start, span.end);
}
