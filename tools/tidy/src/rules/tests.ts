// A test that does not run says nothing, and one that runs alone silences the others.
import type { Finding } from "../finding.ts";
import { visit } from "../source.ts";
import type { SourceFile, Tree } from "../tree.ts";

const SKIPPED_CALL = /^(?:describe|it|test|suite)(?:\.\w+)*\.(?:skip|only|todo)$/;
const SKIPPED_NAMES = new Set(["xit", "xtest", "xdescribe", "fit", "fdescribe"]);

export function* checkTests(tree: Tree): Generator<Finding> {
  for (const source of tree.sources.values()) if (source.isTest) yield* skippedTests(source);
}

function skippedTests(source: SourceFile): Finding[] {
  const findings: Finding[] = [];
  const add = (start: number, name: string): void => {
    const message = `${name}: every test runs; repair it or remove it`;
    findings.push({ rule: "skipped-test", file: source.path, line: source.lineAt(start), message });
  };
  visit(source, {
    MemberExpression: ({ start, end }) => {
      const name = source.text.slice(start, end).replaceAll(/\s/g, "");
      if (SKIPPED_CALL.test(name)) add(start, name);
    },
    CallExpression: ({ callee }) => {
      if (callee.type === "Identifier" && SKIPPED_NAMES.has(callee.name)) add(callee.start, callee.name);
    },
  });
  return findings;
}
