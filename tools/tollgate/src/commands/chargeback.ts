import type { Declare } from "../command.ts";
import { column, type Row } from "../table.ts";
import { month } from "./usage.ts";

export const declare: Declare = (command, act) => {
  command
    .description("What each team pays for a month: lines sum to the total to the cent.")
    .option("--month <yyyy-mm>", "of UTC (default: this one)", month)
    .option("--tenant <name>", "of this tenant only")
    .option("--rating <version>", "by the prices of a rating")
    .action(
      act<{ month?: string; tenant?: string; rating?: string }>(async ({ options, api, terminal }) => {
        const query = { ...options, month: options.month ?? new Date().toISOString().slice(0, 7) };
        const { month: whole, tenant, rating } = query;
        const answer = await (await api()).get("/api/v1/metering/chargeback", { month: whole, tenant, rating });
        const columns = ["tenant", "team", "calls", "amount", "cost"].map((name) => column(name));
        const rows = [...(answer["lines"] as Row[]), { tenant: "total", amount: answer["total"] }];
        const state = answer["final"] === true ? "final" : "not over yet, or not all counted";
        const note = `${String(answer["month"])} in ${String(answer["currency"])}: ${state}`;
        return { answer, text: `${terminal.table(columns, rows)}\n${note}` };
      }),
    );
};
