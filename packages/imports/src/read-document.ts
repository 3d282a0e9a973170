import { DOCUMENT_MAX_BYTES } from "@tollgate/connectors";
import { AppError } from "@tollgate/errors";
import { parseJson } from "@tollgate/mcp";
import { LineCounter, parseDocument } from "yaml";

const ALIASES_MAX = 100;
const MISTAKES_MAX = 20;

/**
 * The values of a text: JSON, also with the comments and trailing commas that editors' files have, or YAML.
 * @param name of the document, in messages
 * @throws {AppError} invalid_argument with `mistakes`, which say where but never what is there: it may be a secret
 */
export function readDocument(text: string, name: string): unknown {
  if (Buffer.byteLength(text) > DOCUMENT_MAX_BYTES)
    throw new AppError("payload_too_large", `${name} is larger than ${DOCUMENT_MAX_BYTES} bytes`);
  const plain = text.replace(/^\uFEFF/, "");
  return /^\s*(?:[{[]|\/[/*])/.test(plain) ? readJson(plain, name) : readYaml(plain, name);
}

function readJson(text: string, name: string): unknown {
  const plain = withoutComments(text);
  try {
    return parseJson(plain);
  } catch (error) {
    const position = /position (\d+)/.exec((error as Error).message)?.[1];
    // V8 tells of an odd word only what it is, which may be a secret.
    const at = position === undefined ? wordsEnd(plain) : Number(position);
    const before = plain.slice(0, at).split("\n");
    throw mistaken(name, [{ line: before.length, column: before.at(-1)!.length + 1, message: "is not JSON" }]);
  }
}

/** Where the first word begins that JSON does not know. */
function wordsEnd(text: string): number {
  const word = /\s*(?:"(?:[^"\\\n]|\\.)*"|[{}[\]:,]|-?\d[\d.eE+-]*|true\b|false\b|null\b)\s*/y;
  let end = 0;
  while (word.test(text)) end = word.lastIndex;
  return end;
}

/** Comments and trailing commas become blanks, so that every place stays where it was. */
function withoutComments(text: string): string {
  const blanks: { start: number; end: number }[] = [];
  /** A comma after which there was nothing yet but blanks and comments. */
  let comma = -1;
  let at = 0;
  while (at < text.length) {
    const char = text[at]!;
    const end = endOfComment(text, at);
    if (end > at) {
      blanks.push({ start: at, end });
      at = end;
      continue;
    }
    if ((char === "}" || char === "]") && comma >= 0) blanks.push({ start: comma, end: comma + 1 });
    if (char === ",") comma = at;
    else if (char > " ") comma = -1;
    at = char === '"' ? endOfString(text, at) : at + 1;
  }
  let plain = "";
  let last = 0;
  for (const { start, end } of blanks.toSorted((one, other) => one.start - other.start)) {
    plain += text.slice(last, start) + text.slice(start, end).replaceAll(/[^\n]/g, " ");
    last = end;
  }
  return plain + text.slice(last);
}

/** `at` itself where no comment begins there. */
function endOfComment(text: string, at: number): number {
  if (text[at] !== "/") return at;
  const end = text[at + 1] === "/" ? text.indexOf("\n", at) : text[at + 1] === "*" ? text.indexOf("*/", at + 2) : at;
  if (end < 0) return text.length;
  return text[at + 1] === "*" ? end + 2 : end;
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

function readYaml(text: string, name: string): unknown {
  const lineCounter = new LineCounter();
  try {
    const document = parseDocument(text, { lineCounter, prettyErrors: false });
    if (document.errors.length === 0) return document.toJS({ maxAliasCount: ALIASES_MAX });
    const mistakes = document.errors.slice(0, MISTAKES_MAX).map(({ pos, code }) => {
      const { line, col } = lineCounter.linePos(pos[0]);
      return { line, column: col, message: `is not YAML: ${code.toLowerCase().replaceAll("_", " ")}` };
    });
    throw mistaken(name, mistakes);
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError("invalid_argument", `${name} cannot be read: it is too deep, or repeats itself too often`, {
      cause: error,
    });
  }
}

function mistaken(name: string, mistakes: readonly { line: number; column: number; message: string }[]): AppError {
  const lines = mistakes.map(({ line, column, message }) => `${name}:${line}:${column}: ${message}`);
  return new AppError("invalid_argument", lines.join("\n"), { details: { mistakes: lines } });
}
