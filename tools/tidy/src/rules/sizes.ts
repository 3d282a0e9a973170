// style.md, rule 10: what fits on a screen is read; what does not is skimmed.
import { extname } from "node:path/posix";
import type { Finding } from "../finding.ts";
import { visit } from "../source.ts";
import type { SourceFile, Tree } from "../tree.ts";

const FILE_LINES_MAX = 500;
const FUNCTION_LINES_MAX = 70;
const MAIN_LINES_MAX = 60;
const ARCHITECTURE_LINES_MAX = 300;
const SIZED = new Set([".ts", ".mts", ".mjs", ".js", ".sql", ".proto", ".sh"]);

export function* checkSizes(tree: Tree): Generator<Finding> {
  for (const { path, text } of tree.texts) {
    const lines = text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
    const max = linesMax(tree, path);
    if (max === undefined || lines <= max) continue;
    yield {
      rule: "file-size",
      file: path,
      line: max + 1,
      message: `${lines} lines; at most ${max}: split it by subject`,
    };
  }
  for (const source of tree.sources.values()) yield* longFunctions(source);
}

function linesMax(tree: Tree, path: string): number | undefined {
  if (path === "ARCHITECTURE.md") return ARCHITECTURE_LINES_MAX;
  const workspace = tree.sources.get(path)?.workspace;
  const isProgram = workspace?.kind === "service" || workspace?.kind === "tool";
  if (isProgram && path === `${workspace.dir}/src/main.ts`) return MAIN_LINES_MAX;
  return SIZED.has(extname(path)) ? FILE_LINES_MAX : undefined;
}

/**
 * A function's own lines: of the functions within it only the first line counts, since each is measured by itself. A
 * factory that returns closures is read like a class, method by method.
 */
function longFunctions(source: SourceFile): Finding[] {
  const spans: Span[] = [];
  // A `describe` block is a heading over its tests, no function that anyone reads as one.
  const headings = new Set<number>();
  const collect = ({ start, end }: { readonly start: number; readonly end: number }): void => {
    spans.push({ start, end, first: source.lineAt(start), last: source.lineAt(end) });
  };
  visit(source, {
    CallExpression: ({ callee, arguments: given }) => {
      if (!source.isTest || !/^describe\b/.test(source.text.slice(callee.start, callee.end))) return;
      for (const { start } of given) headings.add(start);
    },
    FunctionDeclaration: collect,
    FunctionExpression: collect,
    ArrowFunctionExpression: collect,
  });
  const findings: Finding[] = [];
  for (const span of spans) {
    const lines = ownLines(span, spans);
    if (lines <= FUNCTION_LINES_MAX || headings.has(span.start)) continue;
    const message = `a function of ${lines} lines of its own; at most ${FUNCTION_LINES_MAX}: take its parts out`;
    findings.push({ rule: "function-size", file: source.path, line: span.first, message });
  }
  return findings;
}

interface Span {
  readonly start: number;
  readonly end: number;
  readonly first: number;
  readonly last: number;
}

function ownLines(outer: Span, spans: readonly Span[]): number {
  const inner = spans.filter((each) => each !== outer && each.start > outer.start && each.end < outer.end);
  const others = new Set<number>();
  for (const { first, last } of inner) for (let line = first + 1; line <= last; line++) others.add(line);
  return outer.last - outer.first + 1 - others.size;
}
