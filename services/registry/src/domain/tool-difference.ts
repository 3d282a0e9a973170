import { isDeepStrictEqual } from "node:util";
import { writtenOut } from "./definition-texts.ts";
import { isObject } from "./item.ts";

const LINES_MAX = 200;
const TEXT_MAX_CHARS = 600;
const VALUE_MAX_CHARS = 200;
/** Beyond it what is below is told as a whole: depth is the server's choice. */
const DEPTH_MAX = 32;
/** The table of words that two texts have in common is this large at the most. */
const WORDS_MAX = 1_500;
/** Words that stay, beside those that are others, for people to find the place. */
const AROUND = 6;

type Definition = Readonly<Record<string, unknown>>;

/**
 * What is another in a tool's definition than before, for people: one line for each place, what it may do first. Characters
 * that nobody sees are written out.
 */
export function differenceBetween(before: Definition, after: Definition): string {
  const lines = [...riskNotes(before, after), ...changesIn(before, after, { path: "", depth: 0 })];
  const shown = lines.slice(0, LINES_MAX);
  if (lines.length > LINES_MAX) shown.push(`and ${lines.length - LINES_MAX} more`);
  return shown.join("\n");
}

/** What the MCP specification takes for granted where a server says nothing (2025-11-25, ToolAnnotations). */
const HINTS: readonly {
  readonly hint: string;
  readonly usual: boolean;
  readonly safe: boolean;
  readonly note: string;
}[] = [
  { hint: "readOnlyHint", usual: false, safe: true, note: "it was declared read-only, and is not any more" },
  {
    hint: "destructiveHint",
    usual: true,
    safe: false,
    note: "it was declared not to destroy anything, and is not any more",
  },
  { hint: "idempotentHint", usual: false, safe: true, note: "it was declared idempotent, and is not any more" },
  {
    hint: "openWorldHint",
    usual: true,
    safe: false,
    note: "it was declared to reach nothing outside, and is not any more",
  },
];

function riskNotes(before: Definition, after: Definition): string[] {
  const valueOf = ({ annotations }: Definition, hint: string, usual: boolean): boolean => {
    const given = isObject(annotations) ? annotations[hint] : undefined;
    return typeof given === "boolean" ? given : usual;
  };
  return HINTS.filter(
    ({ hint, usual, safe }) => valueOf(before, hint, usual) === safe && valueOf(after, hint, usual) !== safe,
  ).map(({ note }) => `! ${note}`);
}

interface Place {
  readonly path: string;
  readonly depth: number;
}

function changesIn(before: unknown, after: unknown, place: Place): string[] {
  const { path, depth } = place;
  if (isSame(before, after)) return [];
  if (typeof before === "string" && typeof after === "string") return [`~ ${path}: ${textChange(before, after)}`];
  if (depth >= DEPTH_MAX || !isObject(before) || !isObject(after)) return [listChange(before, after, path)];
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) => {
    const below = { path: path === "" ? writtenOut(key) : `${path}.${writtenOut(key)}`, depth: depth + 1 };
    if (!Object.hasOwn(before, key)) return [`+ ${below.path}: ${valueText(after[key])}`];
    if (!Object.hasOwn(after, key)) return [`- ${below.path}: ${valueText(before[key])}`];
    return changesIn(before[key], after[key], below);
  });
}

/** What is nested too deeply to compare is taken for another. */
function isSame(before: unknown, after: unknown): boolean {
  try {
    return isDeepStrictEqual(before, after);
  } catch {
    return false;
  }
}

/** Lists of single values, such as `required` and `enum`, are told by what came and went. */
function listChange(before: unknown, after: unknown, path: string): string {
  const isPlain = (value: unknown): value is unknown[] =>
    Array.isArray(value) && value.every((each) => typeof each !== "object" || each === null);
  if (!isPlain(before) || !isPlain(after)) return `~ ${path}: ${valueText(before)} is now ${valueText(after)}`;
  const came = after.filter((each) => !before.includes(each)).map((each) => `+${valueText(each)}`);
  const went = before.filter((each) => !after.includes(each)).map((each) => `-${valueText(each)}`);
  const told = [...went, ...came];
  return `~ ${path}: ${told.length === 0 ? "in another order" : cut(told.join(" "), TEXT_MAX_CHARS)}`;
}

function valueText(value: unknown): string {
  return cut(writtenOut(toText(value)), VALUE_MAX_CHARS);
}

function toText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "nothing";
  } catch {
    return "something nested too deeply to show";
  }
}

/** The words that are others: [-old-] {+new+}, with some around them. */
function textChange(before: string, after: string): string {
  const [was, is] = [wordsOf(before), wordsOf(after)];
  if (was.length > WORDS_MAX || is.length > WORDS_MAX) return wholeChange(before, after);
  const parts: string[] = [];
  const steps = stepsBetween(was, is);
  for (let at = 0; at < steps.length;) {
    const { kind } = steps[at]!;
    let end = at;
    while (end < steps.length && steps[end]!.kind === kind) end += 1;
    const words = steps.slice(at, end).map(({ word }) => writtenOut(word));
    if (kind === "same") parts.push(around(words, { isFirst: at === 0, isLast: end === steps.length }));
    else parts.push(kind === "old" ? `[-${words.join(" ")}-]` : `{+${words.join(" ")}+}`);
    at = end;
  }
  if (parts.length === 1 && steps.every(({ kind }) => kind === "same")) return "only its spaces are others";
  return cut(parts.join(" "), TEXT_MAX_CHARS);
}

function wholeChange(before: string, after: string): string {
  return `${before.length} characters are now ${after.length}: ${valueText(before)} is now ${valueText(after)}`;
}

function around(words: readonly string[], { isFirst, isLast }: { isFirst: boolean; isLast: boolean }): string {
  const head = isFirst ? [] : words.slice(0, AROUND);
  const tail = isLast ? [] : words.slice(isFirst ? -AROUND : Math.max(AROUND, words.length - AROUND));
  const left = words.length - head.length - tail.length;
  return [...head, ...(left > 0 ? ["…"] : []), ...tail].join(" ");
}

function wordsOf(text: string): string[] {
  return text.split(/[ \t\n\r]+/).filter((word) => word !== "");
}

interface DiffStep {
  readonly kind: "same" | "old" | "new";
  readonly word: string;
}

/** By the longest common subsequence. */
function stepsBetween(was: readonly string[], is: readonly string[]): DiffStep[] {
  const width = is.length + 1;
  const common = new Uint16Array((was.length + 1) * width);
  for (let i = was.length - 1; i >= 0; i--) {
    for (let j = is.length - 1; j >= 0; j--) {
      const both = common[(i + 1) * width + j + 1]! + 1;
      common[i * width + j] =
        was[i] === is[j] ? both : Math.max(common[(i + 1) * width + j]!, common[i * width + j + 1]!);
    }
  }
  const steps: DiffStep[] = [];
  let [i, j] = [0, 0];
  while (i < was.length || j < is.length) {
    if (i < was.length && j < is.length && was[i] === is[j]) {
      steps.push({ kind: "same", word: was[i]! });
      [i, j] = [i + 1, j + 1];
    } else if (j >= is.length || (i < was.length && common[(i + 1) * width + j]! >= common[i * width + j + 1]!)) {
      steps.push({ kind: "old", word: was[i++]! });
    } else steps.push({ kind: "new", word: is[j++]! });
  }
  return steps;
}

function cut(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max)}…` : text;
}
