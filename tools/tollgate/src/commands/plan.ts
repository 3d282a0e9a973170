import { basename } from "node:path";
import type { Command } from "commander";
import type { Asked, Declare } from "../command.ts";
import type { ConfigurationFile } from "../configuration-file.ts";
import { type Plan, planText } from "../plan-text.ts";
import type { Row } from "../table.ts";

/** Asked about a whole file, services may have to look at much. */
const TIMEOUT_MS = 60_000;
const WOULD_CHANGE = 3;

export interface PlanOptions {
  readonly file?: string;
  readonly prune?: true;
}

export function addPlanOptions(command: Command): Command {
  return command
    .option("-f, --file <file>", "tollgate.yaml; - is the standard input (default: that of this installation)")
    .option("--prune", "also remove what the file's sections do not have");
}

export const declare: Declare = (command, act) => {
  addPlanOptions(command.description("What a configuration file would change, without changing it."))
    .option("--exit-code", `exit with ${WOULD_CHANGE} where something would change`)
    .action(
      act<PlanOptions & { exitCode?: true }>(async (asked) => {
        const plan = await askPlan(asked, await checkedFile(asked));
        const isNothing = plan.changes.length === 0;
        const code = asked.options.exitCode === true && !isNothing ? WOULD_CHANGE : 0;
        return { answer: plan, text: planText(plan, asked.terminal), code };
      }),
    );
};

/** Mistakes in the file are said without a gateway, with their places. */
export async function checkedFile(asked: Asked<PlanOptions>): Promise<ConfigurationFile> {
  const { checkConfiguration, readConfiguration } = await import("../configuration-file.ts");
  const file = readConfiguration(asked.options.file, asked);
  checkConfiguration(file);
  return file;
}

export async function askPlan(asked: Asked<PlanOptions>, { name, text }: ConfigurationFile): Promise<Plan> {
  const plan = (await send(asked, "/api/v1/plan", {
    document: text,
    name: basename(name),
    prune: asked.options.prune,
  })) as Plan;
  for (const warning of plan.warnings) asked.terminal.progress(`! ${warning}`);
  return plan;
}

export async function send(asked: Asked, path: string, body: Row): Promise<Row> {
  return (await asked.api()).send("POST", path, { body, timeoutMs: TIMEOUT_MS });
}
