// Nothing lies about: every file is reached from a program, a package's entry or a test, and every exported name is
// imported somewhere.
import { join } from "node:path/posix";
import type { Finding } from "../finding.ts";
import { entryOf, resolveRelative, type SourceFile, type Tree } from "../tree.ts";

const FILE_NAME = /[\w@./-]+\.(?:ts|mts|mjs|js)\b/g;

export function* checkReach(tree: Tree): Generator<Finding> {
  const started = startedByPath(tree);
  const entries = new Set([...started, ...packageEntries(tree), ...programsAndTests(tree)]);
  yield* deadFiles(tree, entries);
  yield* deadExports(tree, entries);
}

function* deadFiles(tree: Tree, entries: ReadonlySet<string>): Generator<Finding> {
  const reached = new Set<string>();
  const waiting = [...entries];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const source = tree.sources.get(path);
    if (source === undefined || reached.has(path)) continue;
    reached.add(path);
    waiting.push(...source.imports.flatMap(({ specifier }) => targetOf(tree, source, specifier) ?? []));
    waiting.push(...source.strings.flatMap(({ text }) => filesNamed(tree, source.path, text)));
  }
  for (const { path } of tree.sources.values()) {
    if (reached.has(path)) continue;
    yield { rule: "dead-file", file: path, line: 1, message: "nothing reaches this file; remove it, or import it" };
  }
}

function* deadExports(tree: Tree, entries: ReadonlySet<string>): Generator<Finding> {
  const used = namesImported(tree);
  for (const { path, exports, workspace } of tree.sources.values()) {
    if (entries.has(path) || workspace.kind === "root") continue;
    const names = used.get(path);
    for (const { name, line, isPartOfSignature } of exports) {
      if (isPartOfSignature || names?.has("*") === true || names?.has(name) === true) continue;
      const message = `nothing imports "${name}"; remove it, or its \`export\``;
      yield { rule: "dead-export", file: path, line, message };
    }
  }
}

function namesImported(tree: Tree): Map<string, Set<string>> {
  const used = new Map<string, Set<string>>();
  for (const source of tree.sources.values()) {
    for (const { specifier, names } of source.imports) {
      const target = targetOf(tree, source, specifier);
      if (target === undefined) continue;
      const known = used.get(target) ?? new Set();
      used.set(target, known);
      for (const name of names === "all" ? ["*"] : names.map((each) => each.name)) known.add(name);
    }
  }
  return used;
}

function targetOf(tree: Tree, source: SourceFile, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return resolveRelative(source.path, specifier);
  const workspace = tree.workspaces.find(({ name }) => name === specifier);
  return workspace && entryOf(workspace);
}

function packageEntries(tree: Tree): string[] {
  return tree.workspaces.flatMap((workspace) => entryOf(workspace) ?? []);
}

function programsAndTests(tree: Tree): string[] {
  return [...tree.sources.values()]
    .filter(({ path, workspace: { kind, dir } }) => {
      const isProgram = kind !== "package" && path === `${dir}/src/main.ts`;
      const isConfiguration = /(?:^|\/)vitest\.config\.ts$/.test(path);
      return isProgram || isConfiguration || path.endsWith(".test.ts");
    })
    .map(({ path }) => path);
}

/** Files that a script, an image or a tool's configuration starts by their path, rather than by an import. */
function startedByPath(tree: Tree): string[] {
  const starters = tree.texts.filter(({ path }) => !tree.sources.has(path) && !/\.md$|package-lock\.json$/.test(path));
  const configurations = [...tree.sources.values()].filter(({ path }) => path.endsWith("vitest.config.ts"));
  return [...starters, ...configurations].flatMap(({ path, text }) => filesNamed(tree, path, text));
}

/** The files of the tree that a text names, seen from its own folder, from its workspace's, or from the root. */
function filesNamed(tree: Tree, from: string, text: string): string[] {
  const names = text.match(FILE_NAME) ?? [];
  const workspaceDir = tree.sources.get(from)?.workspace.dir ?? "";
  return names
    .flatMap((name) => [resolveRelative(from, name), join(workspaceDir, name), join(name)])
    .filter((path) => tree.sources.has(path));
}
