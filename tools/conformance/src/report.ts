import type { Revision } from "./suite.ts";
import type { Counts, Shortfall } from "./verdict.ts";

export interface Row {
  readonly revision: Revision;
  readonly target: string;
  /** Whether it decides over the command's success. */
  readonly binding: boolean;
  /** Of the scenarios that the revision requires. */
  readonly scenarios: Counts;
  readonly checks: Counts;
  readonly shortfalls: readonly Shortfall[];
  readonly timedOut: boolean;
  readonly seconds: number;
}

const MESSAGE_MAX_CHARS = 160;

export function isGood({ binding, shortfalls, timedOut }: Row): boolean {
  return !binding || (shortfalls.length === 0 && !timedOut);
}

export function renderTable(rows: readonly Row[]): string {
  const cells = [
    ["revision", "target", "required scenarios", "checks", "below direct", "time"],
    ...rows.map((row) => [
      row.revision,
      row.binding ? row.target : `${row.target} (translated)`,
      counts(row.scenarios),
      counts(row.checks),
      row.timedOut ? `${row.shortfalls.length}, out of time` : String(row.shortfalls.length),
      `${row.seconds.toFixed(0)} s`,
    ]),
  ];
  const widths = cells[0]!.map((_cell, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const table = cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd(),
  );
  return [...table, "", ...rows.flatMap(details), ""].join("\n");
}

function counts({ passed, total }: Counts): string {
  return `${passed}/${total}`;
}

function details({ revision, target, shortfalls }: Row): string[] {
  if (shortfalls.length === 0) return [];
  const lines = shortfalls.map(({ scenario, check, status, message }) => {
    const why = message.replaceAll(/\s+/g, " ").slice(0, MESSAGE_MAX_CHARS);
    return `  ${scenario}:${check} ${status}${why === "" ? "" : ` ${why}`}`;
  });
  return [`${revision} ${target}, below direct:`, ...lines, ""];
}
