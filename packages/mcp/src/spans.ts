/**
 * Where members stand in a JSON text, so that a frame can be changed in a few places and stay, byte for byte, what its
 * sender wrote everywhere else (invariant 5): `1.0` stays `1.0`, large integers keep their digits, unknown fields their
 * order. All functions here take a text that JSON.parse has accepted; they find places and check nothing.
 */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Members {
  /** The place just after the opening brace. */
  readonly open: number;
  readonly empty: boolean;
  /** The values of the wanted members that are there. */
  readonly spans: Readonly<Record<string, Span>>;
  /** A wanted member that is there twice, or once more in other letters: parsers differ in which one they take. */
  readonly ambiguous: string | undefined;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;

/** Finds the wanted members of the object that begins at `at`, or undefined when no object begins there. */
export function findMembers(text: string, at: number, wanted: readonly string[]): Members | undefined {
  let i = skipBlanks(text, at);
  if (text.charCodeAt(i) !== OPEN_BRACE) return undefined;
  const open = ++i;
  const spans: Record<string, Span> = {};
  let ambiguous: string | undefined;
  const seen = new Set<string>();
  i = skipBlanks(text, i);
  const empty = text.charCodeAt(i) === CLOSE_BRACE;
  while (text.charCodeAt(i) === QUOTE) {
    const keyEnd = skipString(text, i);
    const name = keyOf(text, i, keyEnd);
    i = skipBlanks(text, keyEnd);
    const start = skipBlanks(text, i + 1);
    const end = skipValue(text, start);
    const folded = name.toLowerCase();
    const match = wanted.find((each) => each.toLowerCase() === folded);
    if (match !== undefined) {
      if (seen.has(match)) ambiguous = match;
      seen.add(match);
      if (match === name) spans[name] = { start, end };
    }
    i = skipBlanks(text, end);
    if (text.charCodeAt(i) === COMMA) i = skipBlanks(text, i + 1);
  }
  return { open, empty, spans, ambiguous };
}

export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Applies edits that do not overlap, in any order. */
export function splice(text: string, edits: readonly Edit[]): string {
  let result = "";
  let at = 0;
  for (const edit of edits.toSorted((a, b) => a.start - b.start)) {
    result += text.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return result + text.slice(at);
}

/** The edit that takes members out of the object that begins at `at`; the others stay as they are. */
export function removeMembers(text: string, at: number, names: readonly string[]): Edit[] {
  const { open, spans } = findMembers(text, at, names)!;
  if (Object.keys(spans).length === 0) return [];
  const kept: string[] = [];
  let i = skipBlanks(text, open);
  while (text.charCodeAt(i) === QUOTE) {
    const keyEnd = skipString(text, i);
    const end = skipValue(text, skipBlanks(text, skipBlanks(text, keyEnd) + 1));
    if (!names.includes(keyOf(text, i, keyEnd))) kept.push(text.slice(i, end));
    i = skipBlanks(text, end);
    if (text.charCodeAt(i) === COMMA) i = skipBlanks(text, i + 1);
  }
  return [{ start: open, end: i, text: kept.join(",") }];
}

/** The edit that puts members in front of an object's others; none for no members. */
export function insertMembers(object: Members, entries: readonly (readonly [string, unknown])[]): Edit[] {
  if (entries.length === 0) return [];
  const json = entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",");
  return [{ start: object.open, end: object.open, text: object.empty ? json : `${json},` }];
}

function keyOf(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end - 1);
  return raw.includes("\\") ? (JSON.parse(text.slice(start, end)) as string) : raw;
}

export function skipBlanks(text: string, at: number): number {
  let i = at;
  for (;;) {
    const c = text.charCodeAt(i);
    if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return i;
    i += 1;
  }
}

/** From the opening quote to the place after the closing one. */
export function skipString(text: string, at: number): number {
  let i = at + 1;
  for (;;) {
    const quote = text.indexOf('"', i);
    if (quote < 0) return text.length;
    let backslashes = 0;
    while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return quote + 1;
    i = quote + 1;
  }
}

function skipValue(text: string, at: number): number {
  const first = text.charCodeAt(at);
  if (first === QUOTE) return skipString(text, at);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return skipScalar(text, at);
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) i = skipString(text, i) - 1;
    else if (c === OPEN_BRACE || c === OPEN_BRACKET) depth += 1;
    else if ((c === CLOSE_BRACE || c === CLOSE_BRACKET) && --depth === 0) return i + 1;
  }
  return text.length;
}

/** A number, true, false or null: up to what cannot be part of it. */
export function skipScalar(text: string, at: number): number {
  let i = at;
  while (i < text.length) {
    const c = text.charCodeAt(i);
    if (c === COMMA || c === CLOSE_BRACE || c === CLOSE_BRACKET || c <= 0x20) break;
    i += 1;
  }
  return i;
}

/** Where the elements of the array stand that begins at `at`; none when no array begins there. */
export function elementSpans(text: string, at: number): Span[] {
  let i = skipBlanks(text, at);
  if (text.charCodeAt(i) !== OPEN_BRACKET) return [];
  const elements: Span[] = [];
  i = skipBlanks(text, i + 1);
  while (i < text.length && text.charCodeAt(i) !== CLOSE_BRACKET) {
    const end = skipValue(text, i);
    elements.push({ start: i, end });
    i = skipBlanks(text, end);
    if (text.charCodeAt(i) === COMMA) i = skipBlanks(text, i + 1);
  }
  return elements;
}

/** A place in a JSON text: the keys on the way to it, where "*" is each element of a list. */
export type Path = readonly string[];

/** The edits that change the strings at `paths`; where `change` returns undefined, or no string stands, nothing. */
export function changeStrings(
  text: string,
  paths: readonly Path[],
  change: (value: string) => string | undefined,
): Edit[] {
  const edits: Edit[] = [];
  for (const path of paths) collect({ text, edits, change }, 0, path);
  return edits;
}

interface Changes {
  readonly text: string;
  readonly edits: Edit[];
  readonly change: (value: string) => string | undefined;
}

function collect(changes: Changes, at: number, [key, ...rest]: Path): void {
  const { text, edits, change } = changes;
  if (key === undefined) {
    if (text.charCodeAt(at) !== QUOTE) return;
    const end = skipString(text, at);
    const changed = change(JSON.parse(text.slice(at, end)) as string);
    if (changed !== undefined) edits.push({ start: at, end, text: JSON.stringify(changed) });
  } else if (key === "*") {
    for (const { start } of elementSpans(text, at)) collect(changes, start, rest);
  } else {
    const span = findMembers(text, at, [key])?.spans[key];
    if (span) collect(changes, span.start, rest);
  }
}
