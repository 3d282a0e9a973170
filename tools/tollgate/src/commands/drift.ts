import type { Declare } from "../command.ts";
import { jsonDifferences } from "../json-difference.ts";
import { tableOf } from "../resources.ts";
import { column, type Row } from "../table.ts";

const COLUMNS = [
  ...["kind", "id", "drift"].map((name) => column(name)),
  { title: "what", of: ({ file, entry }: Row) => placesOf(file, entry) },
  ...["updatedBy", "updatedAt"].map((name) => column(name)),
];
const DRIFTS = 3;
const DRIFT_MAX = 10_000;

export const declare: Declare = (command, act) => {
  command
    .description("Where what is in force is not what the configuration file says.")
    .option("--exit-code", `exit with ${DRIFTS} where there is drift`)
    .action(
      act<{ exitCode?: true }>(async ({ options, terminal, api }) => {
        const answer = await (await api()).list("/api/v1/drift", { limit: DRIFT_MAX });
        const shown = tableOf(answer, { columns: COLUMNS, noun: "drift" }, terminal.table);
        return { ...shown, code: options.exitCode === true && answer.items.length > 0 ? DRIFTS : 0 };
      }),
    );
};

/** The keys that are others than in the file. */
function placesOf(file: unknown, entry: unknown): string {
  if (file === null || entry === null) return "";
  return jsonDifferences(file, entry, [])
    .map(({ path }) => path)
    .join(", ");
}
