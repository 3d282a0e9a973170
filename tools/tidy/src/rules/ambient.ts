// What a program takes from its surroundings comes in at main; what it says goes through the log.
import type { Finding } from "../finding.ts";
import { visit } from "../source.ts";
import type { SourceFile, Tree } from "../tree.ts";

/** Tests and the test kit start real programs, and hand the environment on. */
function mayReadEnvironment({ workspace, path, isTest }: SourceFile): boolean {
  const isMain = workspace.kind !== "package" && path === `${workspace.dir}/src/main.ts`;
  return isMain || isTest || workspace.dir === "packages/testkit";
}

export function* checkAmbient(tree: Tree): Generator<Finding> {
  for (const source of tree.sources.values()) {
    if (!mayReadEnvironment(source)) yield* environmentReads(source);
    yield* consoleUses(source);
  }
}

function* environmentReads(source: SourceFile): Generator<Finding> {
  const lines: number[] = [];
  visit(source, {
    MemberExpression: ({ object, property, start }) => {
      const name = property.type === "Identifier" ? property.name : property.type === "Literal" ? property.value : "";
      if (object.type === "Identifier" && object.name === "process" && name === "env") lines.push(source.lineAt(start));
    },
    VariableDeclarator: ({ id, init, start }) => {
      if (init?.type !== "Identifier" || init.name !== "process" || id.type !== "ObjectPattern") return;
      const keys = id.properties.map((property) => (property.type === "Property" ? property.key : undefined));
      if (keys.some((key) => key?.type === "Identifier" && key.name === "env")) lines.push(source.lineAt(start));
    },
  });
  for (const { specifier, names, line } of source.imports) {
    const isProcess = specifier === "node:process" || specifier === "process";
    if (isProcess && names !== "all" && names.some(({ name }) => name === "env")) lines.push(line);
  }
  const message = "reads process.env outside main.ts; read it there, and pass the value in";
  for (const line of lines) yield { rule: "process-env", file: source.path, line, message };
}

function* consoleUses(source: SourceFile): Generator<Finding> {
  const lines: number[] = [];
  visit(source, {
    MemberExpression: ({ object, start }) => {
      if (object.type === "Identifier" && object.name === "console") lines.push(source.lineAt(start));
    },
  });
  const message = "uses console; use the log, or process.stdout.write where output is what the program is for";
  for (const line of lines) yield { rule: "console", file: source.path, line, message };
}
