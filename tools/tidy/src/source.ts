// One file's syntax, as far as the rules need it. rolldown's parser is there with the test runner, reads TypeScript,
// and gives a stable ESTree; the TypeScript 7 package offers JavaScript only an unstable API.
import { type ESTree, parseSync, Visitor, type VisitorObject } from "rolldown/utils";
import type { TextFile } from "./tree.ts";

export interface ImportedName {
  /** As the other file exports it. */
  readonly name: string;
  readonly typeOnly: boolean;
}

/** An import, a re-export, a dynamic import or `import("…")` in a type. */
export interface Import {
  readonly specifier: string;
  readonly line: number;
  /** "all" for a namespace, a dynamic import, `export *`. */
  readonly names: readonly ImportedName[] | "all";
  readonly typeOnly: boolean;
}

export interface Export {
  readonly name: string;
  readonly line: number;
  /** A type that other declarations of the file are written with: part of their signature. */
  readonly isPartOfSignature: boolean;
}

export interface ExportStar {
  readonly line: number;
  /** `export * as name`. */
  readonly named: boolean;
}

export interface Source {
  readonly path: string;
  readonly text: string;
  readonly program: ESTree.Program;
  readonly imports: readonly Import[];
  readonly exports: readonly Export[];
  readonly stars: readonly ExportStar[];
  /** String literals and the fixed parts of templates. */
  readonly strings: readonly { readonly text: string; readonly line: number }[];
  readonly syntaxErrors: readonly { readonly message: string; readonly line: number }[];
  readonly lineAt: (offset: number) => number;
}

type Module = ReturnType<typeof parseSync>["module"];

export function parseSource({ path, text }: TextFile): Source {
  const { program, module, errors } = parseSync(path, text);
  const lineAt = lineFinder(text);
  const { imports, strings, typesUsed } = readBody(program, lineAt);
  const exported = module.staticExports.flatMap(({ entries }) => entries);
  return {
    path,
    text,
    program,
    imports: [...staticImports(module, lineAt), ...reExports(module, lineAt), ...imports],
    exports: exported
      .filter(({ exportName }) => exportName.kind !== "None")
      .map(({ exportName, localName, isType, start }) => ({
        name: exportName.name ?? "default",
        line: lineAt(start),
        isPartOfSignature: isType && typesUsed.has(localName.name ?? ""),
      })),
    stars: exported
      .filter(({ importName: { kind } }) => kind === "All" || kind === "AllButDefault")
      .map(({ importName, start }) => ({ line: lineAt(start), named: importName.kind === "All" })),
    strings,
    syntaxErrors: errors.map(({ message, labels }) => ({ message, line: lineAt(labels[0]?.start ?? 0) })),
    lineAt,
  };
}

/** Walks a file's syntax tree. */
export function visit(source: Source, visitor: VisitorObject): void {
  new Visitor(visitor).visit(source.program);
}

function staticImports(module: Module, lineAt: Source["lineAt"]): Import[] {
  return module.staticImports.map(({ moduleRequest, start, entries }) => ({
    specifier: moduleRequest.value,
    line: lineAt(start),
    names: entries.some(({ importName }) => importName.kind === "NamespaceObject")
      ? "all"
      : entries.map(({ importName, isType }) => ({ name: importName.name ?? "default", typeOnly: isType })),
    typeOnly: entries.length > 0 && entries.every(({ isType }) => isType),
  }));
}

function reExports(module: Module, lineAt: Source["lineAt"]): Import[] {
  return module.staticExports.flatMap(({ entries }) =>
    entries.flatMap(({ moduleRequest, importName, start, isType }): Import[] => {
      if (moduleRequest === null) return [];
      const names = importName.name === null ? "all" : [{ name: importName.name, typeOnly: isType }];
      return [{ specifier: moduleRequest.value, line: lineAt(start), names, typeOnly: isType }];
    }),
  );
}

interface Body extends Pick<Source, "imports" | "strings"> {
  readonly typesUsed: ReadonlySet<string>;
}

function readBody(program: ESTree.Program, lineAt: Source["lineAt"]): Body {
  const imports: Import[] = [];
  const strings: { text: string; line: number }[] = [];
  const typesUsed = new Set<string>();
  const addImport = (node: ESTree.Expression, typeOnly: boolean): void => {
    if (node.type !== "Literal" || typeof node.value !== "string") return;
    imports.push({ specifier: node.value, line: lineAt(node.start), names: "all", typeOnly });
  };
  new Visitor({
    ImportExpression: ({ source }) => addImport(source, false),
    TSImportType: ({ source }) => addImport(source, true),
    TSTypeReference: ({ typeName }) => {
      if (typeName.type === "Identifier") typesUsed.add(typeName.name);
    },
    TSInterfaceHeritage: ({ expression }) => {
      if (expression.type === "Identifier") typesUsed.add(expression.name);
    },
    Literal: ({ value, start }) => {
      if (typeof value === "string") strings.push({ text: value, line: lineAt(start) });
    },
    TemplateElement: ({ value, start }) => {
      strings.push({ text: value.cooked ?? value.raw, line: lineAt(start) });
    },
  }).visit(program);
  return { imports, strings, typesUsed };
}

function lineFinder(text: string): (offset: number) => number {
  const starts = [0];
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return (offset) => {
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}
