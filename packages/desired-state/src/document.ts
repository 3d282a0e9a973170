import { AppError } from "@tollgate/errors";
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from "yaml";
import type { Covered } from "./entries.ts";

export type Path = readonly (string | number)[];

/** A YAML file: its values and where each of them stands. */
export interface SourceDocument {
  readonly document: Document;
  readonly lines: LineCounter;
  /** Where the values are not the file's alone. */
  readonly covered?: Covered;
}

export interface Mistake {
  readonly path: Path;
  readonly message: string;
  /** Offset in the text; without it, the place is that of `path`. */
  readonly offset?: number;
}

const FILE_MAX_BYTES = 1024 * 1024;
const ALIASES_MAX = 100;
const DEPTH_MAX = 32;

/** Parses the text, or says what keeps it from being YAML. */
export function parseSource(text: string): { source: SourceDocument; mistakes: Mistake[] } {
  const lines = new LineCounter();
  if (Buffer.byteLength(text) > FILE_MAX_BYTES) {
    throw new AppError("invalid_argument", `the configuration file is larger than ${FILE_MAX_BYTES} bytes`);
  }
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const mistakes = document.errors.map((error) => ({
    path: [],
    message: error.message,
    offset: error.pos[0],
  }));
  if (mistakes.length === 0) {
    if (document.contents === null) mistakes.push({ path: [], message: "the file is empty", offset: 0 });
    else if (!isMap(document.contents))
      mistakes.push({ path: [], message: "has to hold sections such as mcp_servers:", offset: 0 });
  }
  return { source: { document, lines }, mistakes };
}

/** The file's plain values, `${NAME}` as written. */
export function valuesOf(source: SourceDocument): unknown {
  try {
    const values: unknown = source.document.toJS({ maxAliasCount: ALIASES_MAX });
    // An alias may stand inside what it means, which nothing here would come to the end of.
    JSON.stringify(values);
    return values;
  } catch (error) {
    throw new AppError("invalid_argument", `the configuration file cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Line and column, from 1. Where nothing stands at the path, the place of what would hold it. */
export function placeOf(source: SourceDocument, mistake: Mistake): { line: number; column: number } {
  const offset = mistake.offset ?? offsetOf(source, mistake.path);
  const { line, col } = source.lines.linePos(offset);
  return { line, column: col };
}

function offsetOf(source: SourceDocument, given: Path): number {
  const path = source.covered === undefined ? given : (source.covered.inFile(given) ?? []);
  for (let length = Math.min(path.length, DEPTH_MAX); length > 0; length -= 1) {
    const node = source.document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return source.document.contents?.range?.[0] ?? 0;
}

/** Where a key stands, as opposed to its value. */
export function offsetOfKey(source: SourceDocument, given: Path, key: string): number | undefined {
  const path = source.covered === undefined ? given : source.covered.inFile(given);
  if (path === undefined) return undefined;
  const node = path.length === 0 ? source.document.contents : source.document.getIn(path, true);
  if (!isMap(node)) return undefined;
  const pair = node.items.find((each) => isScalar(each.key) && String(each.key.value) === key);
  return isScalar(pair?.key) ? pair.key.range?.[0] : undefined;
}
