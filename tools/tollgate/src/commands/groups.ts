import type { Declare } from "../command.ts";
import { readEntry } from "../entry-file.ts";
import { declareList, declareShow, placeOf, tableOf } from "../resources.ts";
import { column } from "../table.ts";

const GROUPS = {
  path: "/api/v1/groups",
  noun: "group",
  columns: [column("id"), column("name"), column("description"), column("servers"), column("drift")],
};
const CONNECTORS_MAX = 1_000;
const CONNECTOR_COLUMNS = ["id", "name", "type", "status", "tools", "url"].map((name) => column(name));

export const declare: Declare = (command, act) => {
  declareList(command.command("list").description("The service groups."), act, GROUPS);
  declareShow(command.command("show").description("One group."), act, GROUPS);
  command
    .command("connectors")
    .description("A group's connectors; with a file, put these in their place.")
    .argument("<group>")
    .option("-f, --file <file>", "connectors: [...] as in tollgate.yaml: YAML or JSON; - is the standard input")
    .action(
      act<{ file?: string }>(async ({ args: [id], options, here, terminal, api }) => {
        const client = await api();
        if (options.file !== undefined) {
          const body = await readEntry(options.file, here);
          const answer = await client.send("PUT", `${placeOf(GROUPS, id!)}/connectors`, { body });
          return { answer, text: `The connectors of ${id} are in force.` };
        }
        const answer = await client.list(`${placeOf(GROUPS, id!)}/connectors`, { limit: CONNECTORS_MAX });
        return tableOf(answer, { columns: CONNECTOR_COLUMNS, noun: "connector" }, terminal.table);
      }),
    );
};
