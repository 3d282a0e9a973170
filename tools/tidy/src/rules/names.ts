// style.md, rule 8: the field's own terms, in kebab-case files.
import { extname } from "node:path/posix";
import type { Finding } from "../finding.ts";
import { visit } from "../source.ts";
import type { SourceFile, Tree } from "../tree.ts";

const NAMED = new Set([".ts", ".mts", ".mjs", ".js", ".sql", ".proto", ".sh"]);
const KEBAB_CASE = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)*$/;
const VAGUE_WORDS = ["manager", "helper", "helpers", "util", "utils", "utility", "utilities", "common"];

export function* checkNames(tree: Tree): Generator<Finding> {
  for (const { path } of tree.texts) if (NAMED.has(extname(path))) yield* fileName(path);
  for (const source of tree.sources.values()) yield* declaredNames(source);
}

function* fileName(path: string): Generator<Finding> {
  const odd = path.split("/").find((segment) => !segment.startsWith(".") && !KEBAB_CASE.test(segment));
  if (odd !== undefined) {
    yield { rule: "file-name", file: path, line: 1, message: `"${odd}" is not kebab-case; rename it` };
  }
  const vague = path.split(/[/.-]/).find((word) => VAGUE_WORDS.includes(word.toLowerCase()));
  if (vague !== undefined) {
    yield { rule: "vague-name", file: path, line: 1, message: `"${vague}" says nothing; name it by its purpose` };
  }
}

/** Functions, classes, types, and whatever is exported; a local variable's name is its function's own business. */
function* declaredNames(source: SourceFile): Generator<Finding> {
  const names = new Map<string, number>(source.exports.map(({ name, line }) => [name, line]));
  const add = (id: { readonly name: string; readonly start: number } | null): void => {
    if (id !== null) names.set(id.name, source.lineAt(id.start));
  };
  const interfaces = new Set<string>();
  visit(source, {
    FunctionDeclaration: ({ id }) => add(id),
    ClassDeclaration: ({ id }) => add(id),
    TSTypeAliasDeclaration: ({ id }) => add(id),
    TSInterfaceDeclaration: ({ id }) => {
      add(id);
      interfaces.add(id.name);
    },
  });
  for (const [name, line] of names) {
    const at = { rule: "vague-name", file: source.path, line };
    const words = name.split(/(?<=[a-z0-9])(?=[A-Z])|_/).map((word) => word.toLowerCase());
    const vague = words.find((word) => VAGUE_WORDS.includes(word));
    if (vague !== undefined) {
      yield { ...at, message: `the name ${name} says "${vague}", which says nothing; name it by its purpose` };
    }
    if (interfaces.has(name) && /^I[A-Z][a-z]/.test(name)) {
      yield { ...at, message: `the interface ${name} has an I-prefix; name it after what it is` };
    }
  }
}
