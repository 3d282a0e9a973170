/** Lines around a change, as `diff -u` shows them. */
const CONTEXT_LINES = 3;
/** Of each side. The table of the longest common lines has the square of it; longer texts are shown as replaced. */
const LINES_MAX = 2_000;

interface Line {
  readonly sign: " " | "-" | "+";
  readonly text: string;
}

/** What `diff -u` says of two texts; empty where they are the same. */
export function unifiedDiff(options: {
  readonly before: string;
  readonly after: string;
  readonly from: string;
  readonly to: string;
}): string {
  const lines = diffLines(linesOf(options.before), linesOf(options.after));
  const hunks = hunksOf(lines);
  return hunks.length === 0 ? "" : [`--- ${options.from}`, `+++ ${options.to}`, ...hunks, ""].join("\n");
}

function linesOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

function diffLines(before: readonly string[], after: readonly string[]): Line[] {
  const removed = (text: string): Line => ({ sign: "-", text });
  const added = (text: string): Line => ({ sign: "+", text });
  if (before.length > LINES_MAX || after.length > LINES_MAX) return [...before.map(removed), ...after.map(added)];
  const shared = sharedLengths(before, after);
  const lines: Line[] = [];
  let at = 0;
  let other = 0;
  while (at < before.length && other < after.length) {
    if (before[at] === after[other]) {
      lines.push({ sign: " ", text: before[at]! });
      at += 1;
      other += 1;
    } else if (shared[at + 1]![other]! >= shared[at]![other + 1]!) lines.push(removed(before[at++]!));
    else lines.push(added(after[other++]!));
  }
  return [...lines, ...before.slice(at).map(removed), ...after.slice(other).map(added)];
}

/** How many lines the rests behind each two places have in common, in order. */
function sharedLengths(before: readonly string[], after: readonly string[]): Uint16Array[] {
  const table = Array.from({ length: before.length + 1 }, () => new Uint16Array(after.length + 1));
  for (let at = before.length - 1; at >= 0; at--)
    for (let other = after.length - 1; other >= 0; other--)
      table[at]![other] =
        before[at] === after[other]
          ? table[at + 1]![other + 1]! + 1
          : Math.max(table[at + 1]![other]!, table[at]![other + 1]!);
  return table;
}

/** Changes with the lines around them, those that touch in one. */
function hunksOf(lines: readonly Line[]): string[] {
  const hunks: string[] = [];
  const changes = lines.flatMap(({ sign }, index) => (sign === " " ? [] : [index]));
  for (let first = 0; first < changes.length;) {
    let last = first;
    while (last + 1 < changes.length && changes[last + 1]! - changes[last]! <= 2 * CONTEXT_LINES) last += 1;
    const start = Math.max(0, changes[first]! - CONTEXT_LINES);
    hunks.push(hunkOf(lines, start, changes[last]! + CONTEXT_LINES + 1));
    first = last + 1;
  }
  return hunks;
}

function hunkOf(lines: readonly Line[], start: number, end: number): string {
  const count = (some: readonly Line[], absent: "-" | "+") => some.filter(({ sign }) => sign !== absent).length;
  const shown = lines.slice(start, end);
  const earlier = lines.slice(0, start);
  const range = (absent: "-" | "+") => {
    const length = count(shown, absent);
    // A side without lines is named by the line before it.
    return `${count(earlier, absent) + (length === 0 ? 0 : 1)},${length}`;
  };
  const texts = shown.map(({ sign, text }) => `${sign}${text}`);
  return [`@@ -${range("+")} +${range("-")} @@`, ...texts].join("\n");
}
