import { InvalidArgumentError, Option } from "commander";
import { type Declare, integer, time } from "../command.ts";
import { addFilters, filtersOf } from "../resources.ts";
import { type Column, column, type Row, textOf } from "../table.ts";

const ROWS_MAX = 10_000;
const FILTERS = ["tenant", "team", "principal", "user", "agent", "group", "server", "tool"].map((name) => ({
  name,
  description: `of this ${name} only`,
}));

interface Options {
  readonly by?: string;
  readonly month?: string;
  readonly from?: string;
  readonly to?: string;
  readonly step?: string;
  readonly limit?: number;
}

export const declare: Declare = (command, act) => {
  addFilters(command.description("What calls used and cost, the dearest first: docs/metering.md."), FILTERS)
    .option("--by <keys>", "any of tenant, team, principal, user, agent, group, server, tool; separated by commas")
    .option("--month <yyyy-mm>", "of UTC", month)
    .option("--from <time>", "since then", time)
    .option("--to <time>", "before then", time)
    .addOption(new Option("--step <step>", "sums for each, instead of one").choices(["hour", "day", "month"]))
    .addOption(new Option("--limit <n>", "rows").argParser(integer(1, ROWS_MAX)))
    .action(
      act<Options>(async ({ options, api, terminal, mistake }) => {
        const { by, month: whole, step, limit } = options;
        if (whole !== undefined && (options.from ?? options.to) !== undefined)
          mistake("--month says --from and --to already");
        const { from, to } = whole === undefined ? options : spanOf(whole);
        const query = { ...filtersOf(options, FILTERS), groupBy: by, from, to, step, limit };
        const answer = await (await api()).get("/api/v1/metering/usage", query);
        const keys = by?.split(",") ?? [];
        const columns: Column[] = [
          ...(step === undefined ? [] : [column("from")]),
          ...keys.map((key) => column(`key.${key}`)),
          ...["calls", "errors", "durationMs", "cpuMs", "cost"].map((name) => column(name)),
        ];
        const isWhole = keys.length === 0 && step === undefined;
        const items = answer["items"] as Row[];
        const rows = isWhole ? [answer["total"] as Row] : [...items, totalRow(answer, [...keys], step)];
        if (answer["more"] === true) terminal.progress("There are more rows: --limit N");
        const asOf = answer["asOf"] === null ? "" : `, as of ${textOf(answer["asOf"])}`;
        return { answer, text: `${terminal.table(columns, rows)}\nin ${textOf(answer["currency"])}${asOf}` };
      }),
    );
};

function totalRow(answer: Row, [key]: string[], step: string | undefined): Row {
  const total = answer["total"] as Row;
  return {
    ...total,
    ...(step === undefined ? {} : { from: "total" }),
    key: key === undefined ? {} : { [key]: "total" },
  };
}

export function month(text: string): string {
  if (/^\d{4}-(0[1-9]|1[0-2])$/.test(text)) return text;
  throw new InvalidArgumentError("It has to be a month, such as 2026-11.");
}

function spanOf(whole: string): { from: string; to: string } {
  const [year, number] = whole.split("-").map(Number) as [number, number];
  return { from: `${whole}-01T00:00:00Z`, to: new Date(Date.UTC(year, number, 1)).toISOString() };
}
