// style.md, rule 2: one explicit entry per package, no deep imports, no `export *`; NATS only inside packages/bus.
import type { Finding } from "../finding.ts";
import { entryOf, lineOf, ownerOf, resolveRelative, type SourceFile, type Tree, type Workspace } from "../tree.ts";

/** Whose files may import the NATS client. The test kit starts the real server and looks at its streams. */
const NATS_USERS = ["packages/bus", "packages/testkit"];
const BUS = "packages/bus";
const SUBJECT = /^(?:mcp\.(?:call|reply)|audit|dead)\.v1\b/;

export function* checkPackages(tree: Tree): Generator<Finding> {
  for (const workspace of tree.workspaces) yield* entryFindings(tree, workspace);
  for (const source of tree.sources.values()) {
    yield* starFindings(source);
    yield* importFindings(tree, source);
    yield* subjectFindings(source);
  }
}

function* entryFindings(tree: Tree, workspace: Workspace): Generator<Finding> {
  const { kind, manifest, manifestText } = workspace;
  const at = { rule: "package-entry", file: manifestText.path, line: lineOf(manifestText.text, '"exports"') };
  const entry = entryOf(workspace);
  if (kind !== "package") {
    if (manifest.exports !== undefined) yield { ...at, message: `a ${kind} is not imported; remove "exports"` };
    return;
  }
  const keys = typeof manifest.exports === "object" ? Object.keys(manifest.exports) : [];
  if (keys.length !== 1 || entry === undefined) {
    yield { ...at, message: `a package has one entry; write "exports": { ".": "./src/index.ts" }` };
  } else if (!tree.sources.has(entry)) {
    yield { ...at, message: `the entry ${entry} does not exist; correct "exports"` };
  }
}

function* starFindings({ path, stars, workspace }: SourceFile): Generator<Finding> {
  for (const { line, named } of stars) {
    if (named && workspace.dir === "packages/contracts") continue;
    const message = "re-exports everything; name what the package offers, one by one";
    yield { rule: "export-star", file: path, line, message };
  }
}

function* importFindings(tree: Tree, source: SourceFile): Generator<Finding> {
  for (const { specifier, line } of source.imports) {
    const at = { file: source.path, line };
    if (specifier.startsWith(".")) {
      const target = resolveRelative(source.path, specifier);
      if (target.startsWith("../") || ownerOf(tree.workspaces, target) !== source.workspace) {
        const message = `${specifier} leaves the workspace; import the package by its name`;
        yield { ...at, rule: "relative-import", message };
      }
    } else if (specifier.startsWith("/") || specifier.startsWith("file:")) {
      yield { ...at, rule: "relative-import", message: `${specifier} is an absolute path; import by name` };
    } else if (tree.workspaces.some(({ name }) => specifier.startsWith(`${name}/`))) {
      const message = `${specifier} reaches into a package; import its entry, and export there what is missing`;
      yield { ...at, rule: "deep-import", message };
    } else if (specifier.startsWith("@nats-io/") && !NATS_USERS.includes(source.workspace.dir)) {
      yield { ...at, rule: "nats", message: `imports ${specifier}; only packages/bus knows NATS: use @tollgate/bus` };
    }
  }
}

function* subjectFindings({ path, strings, workspace, isTest }: SourceFile): Generator<Finding> {
  if (workspace.dir === BUS || isTest) return;
  for (const { text, line } of strings) {
    if (!SUBJECT.test(text)) continue;
    const message = `writes the subject "${text}"; only packages/bus knows subjects: build it with its functions`;
    yield { rule: "nats", file: path, line, message };
  }
}
