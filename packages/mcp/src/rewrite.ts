import type { Frame } from "./frame.ts";
import {
  type Edit,
  elementSpans,
  findMembers,
  insertMembers,
  type Path,
  removeMembers,
  type Span,
  splice,
} from "./spans.ts";

export type Rewritten = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly reason: string };

/**
 * A request with the string at `path` below `params` changed, or why that cannot be done safely: a member that is
 * given twice is read differently by different parsers, and what was decided might not be what runs.
 */
export function setParam(frame: Frame, path: Path, value: string): Rewritten {
  let span = frame.members.spans["params"];
  let place = "params";
  for (const key of path) {
    const members = span && findMembers(frame.text, span.start, GUARDED.includes(key) ? GUARDED : [key]);
    if (members?.ambiguous !== undefined)
      return { ok: false, reason: `"${place}.${members.ambiguous}" is given more than once` };
    place = `${place}.${key}`;
    span = members?.spans[key];
    if (!span) return { ok: false, reason: `"${place}" is missing` };
  }
  const text = JSON.stringify(value);
  if (span && frame.text.slice(span.start, span.end) === text) return { ok: true, text: frame.text };
  return { ok: true, text: splice(frame.text, [{ ...span!, text }]) };
}

/** A request without these members of `params`. */
export function removeParams({ text, members }: Frame, names: readonly string[]): string {
  const span = members.spans["params"];
  return span ? splice(text, removeMembers(text, span.start, names)) : text;
}

/** What decides where a request goes and what it may do: none of them may be there twice. */
const GUARDED = ["name", "uri", "ref", "taskId", "requestState", "inputResponses", "arguments", "argument", "_meta"];

export interface RewrittenRequest {
  readonly text: string;
  /** The client's own id and progress token as they stood in the text, to be put back into what comes back. */
  readonly idText: string;
  readonly progressTokenText: string | undefined;
}

/**
 * A request for the server: with an id of ours, so that clients cannot collide on a shared process, with a progress
 * token of ours where the client gave one, and in `_meta` with the members of `meta` where they are not there yet, and
 * with those of `owned` whatever the client has put there.
 */
export function rewriteRequest(
  frame: Frame,
  options: { id: number; meta?: Readonly<Record<string, unknown>>; owned?: Readonly<Record<string, unknown>> },
): RewrittenRequest {
  const { text, members } = frame;
  const idSpan = members.spans["id"]!;
  const edits: Edit[] = [{ ...idSpan, text: String(options.id) }];
  const wanted = { ...options.meta, ...options.owned };
  const paramsSpan = members.spans["params"];
  const params = paramsSpan && findMembers(text, paramsSpan.start, ["_meta"]);
  const metaSpan = params?.spans["_meta"];
  const given = metaSpan && findMembers(text, metaSpan.start, ["progressToken", ...Object.keys(wanted)]);
  const tokenSpan = given?.spans["progressToken"];
  if (tokenSpan) edits.push({ ...tokenSpan, text: String(options.id) });

  const missing = Object.entries(wanted).filter(([key]) => given?.spans[key] === undefined);
  for (const [key, value] of Object.entries(options.owned ?? {})) {
    const span = given?.spans[key];
    if (span) edits.push({ ...span, text: JSON.stringify(value) });
  }
  if (missing.length > 0) {
    if (given) edits.push(...insertMembers(given, missing));
    else if (metaSpan) edits.push({ ...metaSpan, text: JSON.stringify(Object.fromEntries(missing)) });
    else if (params) edits.push(...insertMembers(params, [["_meta", Object.fromEntries(missing)]]));
    else edits.push(...insertMembers(members, [["params", { _meta: Object.fromEntries(missing) }]]));
  }
  return {
    text: splice(text, edits),
    idText: textOf(text, idSpan),
    progressTokenText: tokenSpan && textOf(text, tokenSpan),
  };
}

/**
 * A response for the client: its own id back, `members` put into the result where they are not there yet, and further
 * `edits` that its reader wants.
 */
export function rewriteResponse(
  frame: Frame,
  options: { idText: string; members?: Readonly<Record<string, unknown>>; edits?: readonly Edit[] },
): string {
  const { text, members } = frame;
  const edits: Edit[] = [{ ...members.spans["id"]!, text: options.idText }, ...(options.edits ?? [])];
  const resultSpan = members.spans["result"];
  if (options.members !== undefined && resultSpan) {
    const result = findMembers(text, resultSpan.start, Object.keys(options.members));
    const missing = Object.entries(options.members).filter(([key]) => result?.spans[key] === undefined);
    if (result) edits.push(...insertMembers(result, missing));
  }
  return splice(text, edits);
}

/** The progress token of a request as it stands in its text. */
export function progressTokenOf({ text, members }: Frame): string | undefined {
  const params = members.spans["params"];
  const meta = params && findMembers(text, params.start, ["_meta"])?.spans["_meta"];
  const token = meta && findMembers(text, meta.start, ["progressToken"])?.spans["progressToken"];
  return token && textOf(text, token);
}

/** A progress notification with the client's own token back. */
export function rewriteProgress(frame: Frame, progressTokenText: string): string | undefined {
  const paramsSpan = frame.members.spans["params"];
  const span = paramsSpan && findMembers(frame.text, paramsSpan.start, ["progressToken"])?.spans["progressToken"];
  return span && splice(frame.text, [{ ...span, text: progressTokenText }]);
}

/** The elements of a list in a result, such as `tools`, each as its server wrote it. */
export function resultItems(frame: Frame, list: string): string[] {
  const result = frame.members.spans["result"];
  const span = result && findMembers(frame.text, result.start, [list])?.spans[list];
  return span ? elementSpans(frame.text, span.start).map((each) => textOf(frame.text, each)) : [];
}

/** A member of the result as it stands in the text. */
export function resultMember(frame: Frame, name: string): string | undefined {
  const result = frame.members.spans["result"];
  const span = result && findMembers(frame.text, result.start, [name])?.spans[name];
  return span && textOf(frame.text, span);
}

/** A request or notification of a server with another id; `idText` is JSON. */
export function setId(frame: Frame, idText: string): string {
  return splice(frame.text, [{ ...frame.members.spans["id"]!, text: idText }]);
}

function textOf(text: string, span: Span): string {
  return text.slice(span.start, span.end);
}
