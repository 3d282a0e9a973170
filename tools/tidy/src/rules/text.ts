// What no file of the project may say, whatever it is written in.
import type { Finding } from "../finding.ts";
import type { Tree } from "../tree.ts";

interface Forbidden {
  readonly rule: string;
  readonly pattern: RegExp;
  readonly message: string;
  /** Files that the rule leaves out. */
  readonly except?: RegExp;
}

const FORBIDDEN: readonly Forbidden[] = [
  {
    rule: "unfinished",
    // Written apart, so that this file does not find itself.
    pattern: /\b(?:TO(?:DO)|FIX(?:ME)|X(?:XX))\b/,
    message: "marks something unfinished; finish it, or open an issue",
    except: /package-lock\.json$/,
  },
  {
    rule: "machine-path",
    pattern: /(?<![\w.)}\]$*-])\/(?:(?:home|root|work|Users)\/[\w.-]|tmp\/[A-Za-z])/,
    message: "names a path of one machine; use tmpdir(), homedir() or a path relative to the file",
    except: /package-lock\.json$/,
  },
  {
    rule: "registry-host",
    pattern:
      /\b(?:registry\.(?:npmjs|yarnpkg|npmmirror|hub)|registry-1\.docker|ghcr\.io|quay\.io|pypi\.org|crates\.io)\b/,
    message: "names a registry's host; leave that to the machine's own configuration",
  },
];

export function* checkText(tree: Tree): Generator<Finding> {
  for (const { path, text } of tree.texts) {
    for (const { rule, pattern, message, except } of FORBIDDEN) {
      if (except?.test(path) === true || !pattern.test(text)) continue;
      for (const [index, line] of text.split("\n").entries()) {
        const found = pattern.exec(line);
        if (found !== null) yield { rule, file: path, line: index + 1, message: `"${found[0]}" ${message}` };
      }
    }
  }
  for (const { path, syntaxErrors } of tree.sources.values()) {
    for (const { message, line } of syntaxErrors) yield { rule: "syntax", file: path, line, message };
  }
}
