// npm hoists: a dependency that nobody declared still resolves here, and fails where the package is used alone.
import type { Finding } from "../finding.ts";
import { packageOf } from "../specifier.ts";
import { lineOf, type SourceFile, type Tree, type Workspace } from "../tree.ts";

const TESTKIT = "@tollgate/testkit";
/** Programs of others that tests run, and drivers for them: no workspace, but a package with dependencies of its own. */
const CLIENTS = "test/clients/";

export function* checkDependencies(tree: Tree): Generator<Finding> {
  const root = tree.workspaces.find(({ kind }) => kind === "root");
  for (const workspace of tree.workspaces) {
    const sources = [...tree.sources.values()].filter((source) => source.workspace === workspace);
    const generated = tree.generated.filter((source) => source.workspace === workspace);
    const declared = declaredIn(tree, workspace, root);
    for (const source of sources)
      yield* undeclared(source, source.path.startsWith(CLIENTS) ? withClients(tree, declared) : declared);
    if (workspace !== root) yield* unused(workspace, [...sources, ...generated]);
  }
}

interface Declared {
  readonly forRunning: ReadonlySet<string>;
  readonly forTypes: ReadonlySet<string>;
  readonly forTests: ReadonlySet<string>;
}

function declaredIn(tree: Tree, workspace: Workspace, root: Workspace | undefined): Declared {
  const { manifest, kind } = workspace;
  const running = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies });
  const types = [...running, ...Object.keys(manifest.devDependencies ?? {})];
  const tests = [...types, TESTKIT, ...Object.keys(root?.manifest.devDependencies ?? {})];
  if (kind === "root") {
    // The root runs nothing itself: its files are tests and tool configuration, over all the workspaces.
    const all = new Set([...tests, ...tree.workspaces.map(({ name }) => name)]);
    return { forRunning: all, forTypes: all, forTests: all };
  }
  return {
    forRunning: new Set(isBundled(workspace) ? types : running),
    forTypes: new Set(types),
    forTests: new Set(tests),
  };
}

function withClients(tree: Tree, declared: Declared): Declared {
  const manifest = tree.texts.find(({ path }) => path === `${CLIENTS}package.json`);
  const { dependencies = {} } = JSON.parse(manifest?.text ?? "{}") as { dependencies?: Record<string, string> };
  const all = new Set([...declared.forTests, ...Object.keys(dependencies)]);
  return { forRunning: all, forTypes: all, forTests: all };
}

/** What runs is a bundle that carries its dependencies, so they are needed only to build it. */
function isBundled({ manifest }: Workspace): boolean {
  return Object.values(manifest.bin ?? {}).some((file) => file.startsWith("./dist/"));
}

function* undeclared(source: SourceFile, declared: Declared): Generator<Finding> {
  const { workspace, path, isTest } = source;
  // Build scripts beside package.json run on a developer's machine only.
  const isScript = !path.startsWith(`${workspace.dir}/src/`) && workspace.kind !== "root";
  for (const { specifier, line, typeOnly } of source.imports) {
    const name = packageOf(specifier);
    if (name === undefined || name === workspace.name) continue;
    const allowed = isTest ? declared.forTests : typeOnly || isScript ? declared.forTypes : declared.forRunning;
    if (allowed.has(name)) continue;
    const where = isTest ? "devDependencies" : "dependencies";
    const message = `imports ${name}, which ${workspace.manifestText.path} does not declare; add it to its ${where}`;
    yield { rule: "undeclared-dependency", file: path, line, message };
  }
}

function* unused(workspace: Workspace, sources: readonly SourceFile[]): Generator<Finding> {
  const { manifest, manifestText, dir } = workspace;
  const inSource = namesUsed(sources.filter(({ isTest }) => !isTest));
  const anywhere = namesUsed(sources);
  const scripts = Object.values(manifest.scripts ?? {}).join(" ");
  const at = (name: string): Pick<Finding, "rule" | "file" | "line"> => ({
    rule: "unused-dependency",
    file: manifestText.path,
    line: lineOf(manifestText.text, `"${name}":`),
  });

  for (const name of Object.keys(manifest.dependencies ?? {})) {
    if (inSource(name) || scripts.includes(name)) continue;
    const message = anywhere(name)
      ? `only tests use ${name}; move it to devDependencies`
      : `nothing in ${dir} uses ${name}; remove the dependency`;
    yield { ...at(name), message };
  }
  for (const name of Object.keys(manifest.devDependencies ?? {})) {
    if (anywhere(name) || scripts.includes(name)) continue;
    yield { ...at(name), message: `nothing in ${dir} uses ${name}; remove the devDependency` };
  }
}

/** Whether a package is imported, or named in a string: resolved, spawned or started with its version. */
function namesUsed(sources: readonly SourceFile[]): (name: string) => boolean {
  const imported = new Set(sources.flatMap(({ imports }) => imports.map(({ specifier }) => packageOf(specifier))));
  const strings = sources.flatMap((source) => source.strings.map(({ text }) => text));
  return (name) =>
    imported.has(name) ||
    strings.some((text) => text === name || text.startsWith(`${name}/`) || text.startsWith(`${name}@`));
}
