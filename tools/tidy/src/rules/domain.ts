// A service's domain is pure: no I/O, no clock, no randomness. What it needs of them comes in as parameters.
import { isBuiltin } from "node:module";
import type { Finding } from "../finding.ts";
import { visit } from "../source.ts";
import { packageOf } from "../specifier.ts";
import type { SourceFile, Tree } from "../tree.ts";

const PURE_PACKAGES = new Set([
  "@tollgate/connectors",
  "@tollgate/contracts",
  "@tollgate/desired-state",
  "@tollgate/errors",
  "@tollgate/evidence",
  "@tollgate/mcp",
  "@cedar-policy/cedar-wasm",
  "canonicalize",
  "ipaddr.js",
  "minisearch",
  "zod",
  "yaml",
]);

const PURE_BUILTINS = new Set([
  "node:assert",
  "node:buffer",
  "node:crypto",
  "node:path",
  "node:path/posix",
  "node:string_decoder",
  "node:url",
  "node:util",
]);

/** Names with a clock, randomness or I/O behind them, out of modules that are pure otherwise. */
const IMPURE_NAMES: Readonly<Record<string, readonly string[]>> = {
  "node:crypto": ["default", "randomBytes", "randomFill", "randomFillSync", "randomInt", "randomUUID", "webcrypto"],
  "@tollgate/contracts": ["newCallId"],
  "@tollgate/desired-state": ["followDesiredState", "loadDesiredState"],
  "@tollgate/evidence": ["createSigningKey", "sealRecording", "sealSigningKey"],
};

const IMPURE_GLOBALS = new Set([
  "process",
  "performance",
  "fetch",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "queueMicrotask",
]);
const IMPURE_MEMBERS = new Set(["Date.now", "Math.random", "crypto.randomUUID", "crypto.getRandomValues"]);

export function* checkDomain(tree: Tree): Generator<Finding> {
  for (const source of tree.sources.values()) {
    const { workspace, isTest, path } = source;
    if (workspace.kind !== "service" || isTest || !path.startsWith(`${workspace.dir}/src/domain/`)) continue;
    yield* impureImports(source);
    yield* impureExpressions(source);
  }
}

function* impureImports(source: SourceFile): Generator<Finding> {
  for (const { specifier, names, line } of source.imports) {
    if (specifier.startsWith(".")) continue;
    const name = packageOf(specifier) ?? specifier;
    const pure = isBuiltin(specifier) ? PURE_BUILTINS.has(specifier) : PURE_PACKAGES.has(name);
    if (!pure) {
      const message = `the domain imports ${specifier}, which is no pure module; move the I/O to a handler or the store`;
      yield { rule: "domain", file: source.path, line, message };
    } else if (names !== "all") {
      const impure = names.filter((each) => IMPURE_NAMES[name]?.includes(each.name));
      for (const each of impure) yield toFinding(source, line, each.name);
    }
  }
}

function impureExpressions(source: SourceFile): Finding[] {
  const findings: Finding[] = [];
  const add = (start: number, what: string): void => {
    findings.push(toFinding(source, source.lineAt(start), what));
  };
  visit(source, {
    MemberExpression: ({ object, property, start }) => {
      if (object.type !== "Identifier") return;
      if (IMPURE_GLOBALS.has(object.name)) add(start, object.name);
      if (property.type !== "Identifier") return;
      const member = `${object.name}.${property.name}`;
      if (IMPURE_MEMBERS.has(member)) add(start, member);
    },
    CallExpression: ({ callee, start }) => {
      if (callee.type === "Identifier" && (IMPURE_GLOBALS.has(callee.name) || callee.name === "Date")) {
        add(start, `${callee.name}()`);
      }
    },
    NewExpression: ({ callee, arguments: given, start }) => {
      if (callee.type === "Identifier" && callee.name === "Date" && given.length === 0) add(start, "new Date()");
    },
  });
  return findings;
}

function toFinding(source: SourceFile, line: number, what: string): Finding {
  const message = `the domain uses ${what}; time, ids and the process come in as parameters`;
  return { rule: "domain", file: source.path, line, message };
}
