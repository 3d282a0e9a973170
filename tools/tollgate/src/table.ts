import { onOneLine } from "./terminal-text.ts";

/** An item of an answer of the API. */
export type Row = Readonly<Record<string, unknown>>;

export interface Column {
  readonly title: string;
  readonly of: (row: Row) => string;
}

export interface TableStyle {
  /** Characters of a line; Infinity cuts nothing. */
  readonly width: number;
  readonly head: (text: string) => string;
  /** @param text is padded; `value` is not */
  readonly cell: (text: string, value: string) => string;
}

const GAP = "  ";
const COLUMN_MIN_CHARS = 8;

/** A column of what lies at `path`, such as `decision.reason`. */
export function column(path: string, title = path.slice(path.lastIndexOf(".") + 1)): Column {
  return { title, of: (row) => textOf(valueAt(row, path)) };
}

export function valueAt(row: Row, path: string): unknown {
  return path.split(".").reduce<unknown>((at, key) => (at as Row | null | undefined)?.[key], row);
}

/** A value of an answer, for people; nothing where there is nothing. */
export function textOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map(textOf).join(", ");
  return JSON.stringify(value);
}

/** Aligned and without borders or empty columns; what would not fit is cut where it is longest. */
export function renderTable(given: readonly Column[], rows: readonly Row[], style: TableStyle): string {
  const columns = given.filter(({ of }) => rows.some((row) => of(row) !== ""));
  const cells = rows.map((row) => columns.map(({ of }) => onOneLine(of(row))));
  const titles = columns.map(({ title }) => title);
  const natural = titles.map((title, at) => Math.max(title.length, ...cells.map((each) => lengthOf(each[at]!))));
  const widths = fit(natural, style.width - GAP.length * (columns.length - 1));
  const line = (texts: readonly string[], paint: (text: string, value: string) => string) => {
    const last = texts.findLastIndex((text) => text !== "");
    return texts
      .slice(0, last + 1)
      .map((text, at) =>
        paint(at === last ? cut(text, widths[at]!) : padded(cut(text, widths[at]!), widths[at]!), text),
      )
      .join(GAP);
  };
  return [line(titles, style.head), ...cells.map((each) => line(each, style.cell))].join("\n");
}

/** The widest give way to the others. */
function fit(natural: readonly number[], space: number): number[] {
  const widths = [...natural];
  for (;;) {
    const over = widths.reduce((sum, width) => sum + width, 0) - space;
    const widest = Math.max(...widths);
    if (over <= 0 || widest <= COLUMN_MIN_CHARS) return widths;
    const second = Math.max(COLUMN_MIN_CHARS, ...widths.filter((width) => width < widest));
    const at = widths.indexOf(widest);
    widths[at] = Math.max(widest - over, Math.min(second, widest - 1));
  }
}

/** Of what people see as one character, such as a letter with its accents. */
const characters = new Intl.Segmenter();

function lengthOf(text: string): number {
  return isPlain(text) ? text.length : [...characters.segment(text)].length;
}

function isPlain(text: string): boolean {
  return /^[\u0020-\u024f]*$/.test(text);
}

function cut(text: string, width: number): string {
  if (lengthOf(text) <= width) return text;
  const parts = [...characters.segment(text)].map(({ segment }) => segment);
  return `${parts.slice(0, width - 1).join("")}…`;
}

function padded(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - lengthOf(text)));
}
