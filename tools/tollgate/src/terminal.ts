import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { styleText } from "node:util";
import { type Column, renderTable, type Row, textOf } from "./table.ts";
import { onOneLine, printable } from "./terminal-text.ts";

const TONES = {
  green: /^(ready|ok|ready|idle|approved|allow|done|active|yes|✓|\+)$/,
  yellow: /^(pending|starting|held|submitted|draft|MEDIUM|unknown|degraded|disabled|!|~)$/,
  red: /^(unavailable|crash-loop|denied|deny|error|failed|expired|revoked|withheld|retired|HIGH|CRITICAL|not ready|✗|-)$/,
} as const;
const GAP = 2;

/** Where a command says what it found, and what it does meanwhile. */
export interface Terminal {
  /** For the standard output. */
  readonly line: (text: string) => void;
  /** What is no result: how far it is, what else one may want to know. */
  readonly progress: (text: string) => void;
  readonly table: (columns: readonly Column[], rows: readonly Row[]) => string;
  /** All of one thing, a line each; what is empty is left out. */
  readonly facts: (row: Row) => string;
  /** Coloured like its meaning, where there are colours. */
  readonly toned: (text: string, value?: string) => string;
  /** The answer to a question; undefined where nobody can be asked. */
  readonly ask: (question: string, options?: { hidden?: boolean }) => Promise<string | undefined>;
}

/** Where texts go, and who can be asked. */
export interface Streams {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Characters of a line; Infinity where nobody looks at it. */
  readonly width: number;
  readonly ask: Terminal["ask"];
}

/** That of this process. */
export function openStreams(): Streams {
  const { stdin, stdout, stderr } = process;
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    width: stdout.isTTY ? stdout.columns : Infinity,
    async ask(question, { hidden = false } = {}) {
      if (!stdin.isTTY) return undefined;
      stderr.write(question);
      const output = hidden ? new Writable({ write: (_chunk, _encoding, done) => done() }) : stderr;
      const lines = createInterface({ input: stdin, output, terminal: true });
      try {
        return await lines.question("");
      } finally {
        lines.close();
        if (hidden) stderr.write("\n");
      }
    },
  };
}

/** Colours are shown at terminals, and not where NO_COLOR is set: `styleText` knows. */
export function openTerminal({ out, err, width, ask }: Streams): Terminal {
  const toned = (text: string, value = text.trim()) => {
    const found = Object.entries(TONES).find(([, values]) => values.test(value));
    return found === undefined ? text : styleText(found[0] as keyof typeof TONES, text);
  };
  const head = (text: string) => styleText("bold", text);
  return {
    line: (text) => out(`${text}\n`),
    progress: (text) => err(`${text}\n`),
    table: (columns, rows) => renderTable(columns, rows, { width, head, cell: toned }),
    facts,
    toned,
    ask,
  };
}

function facts(row: Row): string {
  const shown = Object.entries(row).filter(([, value]) => !isEmpty(value));
  const width = Math.max(...shown.map(([key]) => key.length)) + GAP;
  return shown.map(([key, value]) => `${key.padEnd(width)}${factText(value, " ".repeat(width))}`).join("\n");
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** Texts of several lines and what has parts stand under each other. */
function factText(value: unknown, indent: string): string {
  if (typeof value === "string") return printable(value).trimEnd().replaceAll("\n", `\n${indent}`);
  const isDeep =
    typeof value === "object" && Object.values(value ?? {}).some((each) => typeof each === "object" && each !== null);
  if (!isDeep && Array.isArray(value)) return onOneLine(textOf(value));
  if (typeof value !== "object") return onOneLine(textOf(value));
  return printable(JSON.stringify(value, null, 2)).replaceAll("\n", `\n${indent}`);
}
