import { basename } from "node:path";
import { AppError } from "@tollgate/errors";
import type { Declare } from "../command.ts";
import { type Plan, planText } from "../plan-text.ts";
import { addPlanOptions, askPlan, checkedFile, type PlanOptions, send } from "./plan.ts";

export const declare: Declare = (command, act) => {
  addPlanOptions(command.description("Changes what a configuration file says, after showing it and asking."))
    .option("-y, --yes", "do not ask")
    .action(
      act<PlanOptions & { yes?: true }>(async (asked) => {
        const { options, terminal } = asked;
        const file = await checkedFile(asked);
        const plan = await askPlan(asked, file);
        if (plan.changes.length === 0)
          return { answer: { ...plan, applied: false }, text: "Nothing is to be changed." };
        if (options.yes !== true) {
          terminal.progress(planText(plan, terminal));
          await askWhether(terminal.ask);
        }
        const body = { document: file.text, name: basename(file.name), prune: options.prune };
        const answer = (await send(asked, "/api/v1/apply", body)) as Plan;
        const done = answer.changes.length;
        const shown = options.yes === true ? `${planText(answer, terminal)}\n` : "";
        return { answer, text: `${shown}Done: ${done} change${done === 1 ? " is" : "s are"} in force.` };
      }),
    );
};

/** @throws {AppError} where the answer is no, or nobody can be asked */
export async function askWhether(ask: (question: string) => Promise<string | undefined>): Promise<void> {
  const word = await ask("Change this? [y/N] ");
  if (word === undefined) throw new AppError("failed_precondition", "nobody can be asked here: say --yes");
  if (!/^y(es)?$/i.test(word.trim())) throw new AppError("cancelled", "nothing was changed");
}
