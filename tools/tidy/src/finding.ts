/** One thing that is wrong. `message` says what, and what to do about it. */
export interface Finding {
  readonly rule: string;
  /** Relative to the root of the tree. */
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  readonly message: string;
}

export function formatFinding({ file, line, rule, message }: Finding): string {
  return `${file}:${line}: ${message} [${rule}]`;
}

export function compareFindings(a: Finding, b: Finding): number {
  return a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line;
}
