import { readdirSync, readFileSync } from "node:fs";
import { dirname, extname, join } from "node:path/posix";
import { parseSource, type Source } from "./source.ts";

/** A folder with a package.json of its own; the root is one too, with `dir` "". */
export interface Workspace {
  readonly dir: string;
  readonly kind: "package" | "service" | "tool" | "root";
  readonly name: string;
  readonly manifest: Manifest;
  readonly manifestText: TextFile;
}

interface Manifest {
  readonly name?: string;
  readonly exports?: string | Readonly<Record<string, unknown>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export interface TextFile {
  readonly path: string;
  readonly text: string;
}

/** A TypeScript or JavaScript file, with the workspace that it belongs to. */
export interface SourceFile extends Source {
  readonly workspace: Workspace;
  readonly isTest: boolean;
}

/** What the rules see. All paths are relative to the root and use "/". */
export interface Tree {
  readonly workspaces: readonly Workspace[];
  readonly sources: ReadonlyMap<string, SourceFile>;
  readonly texts: readonly TextFile[];
  /** Nobody writes these by hand: they count for what they import only. */
  readonly generated: readonly SourceFile[];
}

const KINDS = { packages: "package", services: "service", tools: "tool" } as const;
// What git does not keep.
const SKIPPED = new Set(["node_modules", "dist", ".git", ".tollgate", ".nx", "coverage"]);
const GENERATED = "packages/contracts/src/gen/";
const SOURCE_EXTENSIONS = new Set([".ts", ".mts", ".mjs", ".js"]);
const FILE_MAX_BYTES = 4 * 1024 * 1024;

export function readTree(root: string): Tree {
  const all = [...readTexts(root, "")];
  const texts = all.filter(({ path }) => !path.startsWith(GENERATED));
  const workspaces = texts.filter(({ path }) => isManifest(path)).map(toWorkspace);
  const sources = all.flatMap((text) => toSource(workspaces, text) ?? []);
  const isGenerated = ({ path }: SourceFile): boolean => path.startsWith(GENERATED);
  return {
    workspaces,
    sources: new Map(sources.filter((source) => !isGenerated(source)).map((source) => [source.path, source])),
    texts,
    generated: sources.filter(isGenerated),
  };
}

/** The workspace that a path lies in: the innermost one. */
export function ownerOf(workspaces: readonly Workspace[], path: string): Workspace | undefined {
  const inner = workspaces.find(({ dir }) => dir !== "" && path.startsWith(`${dir}/`));
  return inner ?? workspaces.find(({ dir }) => dir === "");
}

/** The path that a relative specifier means, seen from `from`. */
export function resolveRelative(from: string, specifier: string): string {
  return join(dirname(from), specifier);
}

/** The file that a package's name stands for, when it names one. */
export function entryOf(workspace: Workspace): string | undefined {
  const { exports } = workspace.manifest;
  const entry = typeof exports === "object" ? exports["."] : exports;
  return typeof entry === "string" ? join(workspace.dir, entry) : undefined;
}

/** The line, counted from 1, where `part` first stands in the text; 1 when it does not. */
export function lineOf(text: string, part: string): number {
  return text.slice(0, Math.max(0, text.indexOf(part))).split("\n").length;
}

function toSource(workspaces: readonly Workspace[], text: TextFile): SourceFile | undefined {
  const workspace = ownerOf(workspaces, text.path);
  if (workspace === undefined || !SOURCE_EXTENSIONS.has(extname(text.path))) return undefined;
  const inside = text.path.slice(workspace.dir.length).replace(/^\//, "");
  const isTest = text.path.endsWith(".test.ts") || inside.startsWith("test/");
  return { ...parseSource(text), workspace, isTest };
}

function isManifest(path: string): boolean {
  return path === "package.json" || /^(?:packages|services|tools)\/[^/]+\/package\.json$/.test(path);
}

function toWorkspace(manifestText: TextFile): Workspace {
  const manifest: Manifest = JSON.parse(manifestText.text);
  const dir = manifestText.path.slice(0, -"/package.json".length);
  const top = manifestText.path.split("/")[0] ?? "";
  const kind = KINDS[top as keyof typeof KINDS] ?? "root";
  return { dir, kind, name: manifest.name ?? dir, manifest, manifestText };
}

function* readTexts(root: string, dir: string): Generator<TextFile> {
  for (const entry of readdirSync(join(root, dir), { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) {
      if (!SKIPPED.has(entry.name)) yield* readTexts(root, path);
    } else if (entry.isFile() && !entry.name.endsWith(".tsbuildinfo")) {
      const bytes = readFileSync(join(root, path));
      // A picture or an archive has nothing to read.
      if (bytes.length <= FILE_MAX_BYTES && !bytes.includes(0)) yield { path, text: bytes.toString("utf8") };
    }
  }
}
