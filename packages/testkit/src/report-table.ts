/** One line of the table: a figure, and what it has to be where something has to be reached. */
export interface Line {
  readonly what: string;
  readonly found: string;
  readonly must?: string;
  readonly reached?: boolean;
}

export function line(what: string, found: string): Line {
  return { what, found };
}

export function must(what: string, found: string, wanted: string, reached: boolean): Line {
  return { what, found, must: wanted, reached };
}

const HEAD = ["", "found", "must be", ""];

export function renderTable(title: string, lines: readonly Line[]): string {
  const rows = lines.map(({ what, found, must: wanted, reached }) => [
    what,
    found,
    wanted ?? "",
    reached === undefined ? "" : reached ? "✓" : "✗ missed",
  ]);
  const widths = HEAD.map((cell, column) => Math.max(cell.length, ...rows.map((row) => row[column]!.length)));
  const render = (row: readonly string[]) => row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ");
  return [`\n${title}`, ...[HEAD, ...rows].map((row) => render(row).trimEnd()), ""].join("\n");
}

export const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 1)} ms`;
export const mib = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;
export const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
