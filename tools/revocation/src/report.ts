import type { Request } from "./load.ts";
import type { Silence } from "./silence.ts";
import type { Result } from "./trials.ts";

const HEAD = ["", "trials", "request p50", "p99", "max", "let in before", "let in after"];

export function renderTrials(results: readonly Result[]): string {
  const kinds = [...new Set(results.map(({ kind }) => kind))];
  const rows = kinds.map((kind) =>
    rowOf(
      kind,
      results.filter((each) => each.kind === kind),
    ),
  );
  return renderTable([HEAD, ...rows, rowOf("all", results)]);
}

function rowOf(name: string, results: readonly Result[]): string[] {
  const times = results.map(({ tookMs }) => tookMs);
  const after = results.reduce((sum, each) => sum + Math.max(each.admittedAfter, each.sentAfterAndLetIn), 0);
  const before = results.reduce((sum, each) => sum + each.letIn, 0) - after;
  const [p50, p99, max] = [0.5, 0.99, 1].map((share) => ms(quantile(times, share)));
  return [name, String(results.length), p50!, p99!, max!, String(before), String(after)];
}

export function renderLoad(made: readonly Request[]): string {
  const [first, last] = [made[0]?.sentAt ?? 0, made.at(-1)?.sentAt ?? 0];
  const times = made.map(({ tookMs }) => tookMs);
  const refused = made.filter(({ isLetIn }) => !isLetIn);
  const perSecond = made.length / ((last - first) / 1_000);
  const found = `${made.length} calls, ${perSecond.toFixed(0)}/s, p50 ${ms(quantile(times, 0.5))}, p99 ${ms(quantile(times, 0.99))}`;
  const why = refused.length === 0 ? "" : `: ${refused[0]!.refusal}`;
  return `\nothers meanwhile: ${found}, ${refused.length} refused${why}\n`;
}

export function renderSilence({ sentAfter, letInAfter, admittedAfter }: Silence): string {
  return `\npolicy killed: of ${sentAfter} calls sent after the lease ${letInAfter} were let in; by the audit ${admittedAfter}\n`;
}

function renderTable(rows: readonly (readonly string[])[]): string {
  const widths = HEAD.map((_cell, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  "),
  );
  return `\n${lines.join("\n")}\n`;
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 1)} ms`;
