import { stringify } from "csv-stringify/sync";

export const CSV = "text/csv";

/** Quoted even where it is only one of the two that end a line. */
const LINE_BREAK = /[\r\n]/;

export type Cell = string | number | boolean | null | undefined;

/**
 * Lines of a CSV file (RFC 4180). A text that a spreadsheet would take for a formula gets an apostrophe before it.
 * @param header whether the columns' names come first
 */
export function csvLines(
  columns: readonly string[],
  rows: readonly (readonly Cell[])[],
  { header }: { header: boolean },
): string {
  return stringify(
    rows.map((row) => [...row]),
    {
      columns: [...columns],
      header,
      escape_formulas: true,
      quoted_match: LINE_BREAK,
      record_delimiter: "windows",
      cast: { boolean: String },
    },
  );
}
