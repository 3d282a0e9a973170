import { createHash } from "node:crypto";
import { operationsOf, readOpenApi } from "@tollgate/connectors";
import type { Parsed } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { parseDocument } from "yaml";

const ALIASES_MAX = 100;
/** As JSON. More than servers with all that they have could be sent to runners, so that a whole file's stay. */
const KEPT_MAX_CHARS = 64 * 1024 * 1024;
/** So that what has no operations is not kept without end. */
const KEPT_LEAST_CHARS = 1_024;

type Found = Parsed<ReturnType<typeof operationsOf>>;

/** Patterns of operations; no `include` means all. */
interface Filters {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

/** The one that was asked for last stands last. */
const kept = new Map<string, { readonly found: Found; readonly chars: number }>();
let keptChars = 0;

/**
 * The operations of an OpenAPI document's text that are wanted. The same text is read once: whatever else changes, all of
 * a file is loaded anew, and a large document takes as long to read as everything else of a file together.
 */
export function operationsOfDocument(text: string, { include, exclude }: Filters): Found {
  const key = createHash("sha256")
    .update(JSON.stringify([include, exclude]))
    .update(text)
    .digest("base64");
  const known = kept.get(key);
  if (known !== undefined) {
    kept.delete(key);
    kept.set(key, known);
    return known.found;
  }
  const found = read(text, { include, exclude });
  const chars = KEPT_LEAST_CHARS + JSON.stringify(found).length;
  kept.set(key, { found, chars });
  keptChars += chars;
  for (const [oldest, { chars: freed }] of kept) {
    if (keptChars <= KEPT_MAX_CHARS) break;
    kept.delete(oldest);
    keptChars -= freed;
  }
  return found;
}

function read(text: string, { include, exclude }: Filters): Found {
  const document = parsed(text);
  if (!document.ok) return document;
  const [wanted, unwanted] = [include.map(toFilter), exclude.map(toFilter)];
  try {
    const value = operationsOf(readOpenApi(document.value), {
      isWanted: (each) =>
        (wanted.length === 0 || wanted.some((filter) => filter(each))) && !unwanted.some((filter) => filter(each)),
    });
    return { ok: true, value };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { ok: false, reason: error.message };
  }
}

/** YAML, which JSON is a part of; that is read by the faster reader where it is JSON. */
function parsed(text: string): Parsed<unknown> {
  if (/^\s*\{/.test(text)) {
    try {
      return { ok: true, value: JSON.parse(text) };
    } catch {
      // It may be YAML all the same; and that reader says where the mistake is.
    }
  }
  const document = parseDocument(text, { prettyErrors: true });
  const [error] = document.errors;
  if (error !== undefined) return { ok: false, reason: error.message.split("\n")[0]! };
  try {
    return { ok: true, value: document.toJS({ maxAliasCount: ALIASES_MAX }) };
  } catch (thrown) {
    return { ok: false, reason: (thrown as Error).message };
  }
}

type Wanted = Parameters<NonNullable<NonNullable<Parameters<typeof operationsOf>[1]>["isWanted"]>>[0];

/** `tag:NAME`, `METHOD /path`, or a tool's name, each with * for any part. */
function toFilter(pattern: string): (operation: Wanted) => boolean {
  const parts = /^(\*|[A-Z]+) +(\S+)$/.exec(pattern);
  if (pattern.startsWith("tag:")) {
    const isTag = toMatch(pattern.slice("tag:".length));
    return ({ tags }) => tags.some(isTag);
  }
  if (parts === null) {
    const isName = toMatch(pattern);
    return ({ name }) => isName(name);
  }
  const [isMethod, isPath] = [toMatch(parts[1]!), toMatch(parts[2]!)];
  return ({ method, path }) => isMethod(method) && isPath(path);
}

/** Goes on from part to part, so that no pattern takes long. */
function toMatch(pattern: string): (text: string) => boolean {
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop();
  if (last === undefined) return (text) => text === pattern;
  return (text) => {
    if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last)) return false;
    let at = first.length;
    for (const part of rest) {
      const found = text.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return at <= text.length - last.length;
  };
}
