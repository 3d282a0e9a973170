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

function longFunctions(source: SourceFile): Finding[] {
  const findings: Finding[] = [];
  // A `describe` block is a heading over its tests, no function that anyone reads as one.
  const headings = new Set<number>();
  const check = ({ start, end }: { readonly start: number; readonly end: number }): void => {
    const line = source.lineAt(start);
    const lines = source.lineAt(end) - line + 1;
    if (lines <= FUNCTION_LINES_MAX || headings.has(start)) return;
    const message = `a function of ${lines} lines; at most ${FUNCTION_LINES_MAX}: take its parts out`;
    findings.push({ rule: "function-size", file: source.path, line, message });
  };
  visit(source, {
    CallExpression: ({ callee, arguments: given }) => {
      if (!source.isTest || !/^describe\b/.test(source.text.slice(callee.start, callee.end))) return;
      for (const { start } of given) headings.add(start);
    },
    FunctionDeclaration: check,
    FunctionExpression: check,
    ArrowFunctionExpression: check,
  });
  return findings;
}
