import { type Command, InvalidArgumentError } from "commander";
import { type Act, type Declare, limitOption, noteMore } from "../command.ts";
import { column } from "../table.ts";
import { tableOf } from "../resources.ts";
import { printable } from "../terminal-text.ts";

const PATH = "/api/v1/dead-letters";
const PAGE_MAX = 100;
const LIMIT_DEFAULT = 100;
const COLUMNS = ["id", "at", "service", "subject", "reason"] as const;

/** Looks after what could not be processed. */
export const declare: Declare = (command, act) => {
  command
    .command("list")
    .description("What could not be processed, oldest first")
    .option("--service <name>", "of one service only")
    .addOption(limitOption(LIMIT_DEFAULT))
    .action(
      act<{ service?: string; limit: number }>(async ({ options: { service, limit }, terminal, api }) => {
        const answer = await (await api()).list(PATH, { query: { service }, limit, pageMax: PAGE_MAX });
        noteMore(terminal, answer.nextCursor, limit);
        return tableOf(answer, { columns: COLUMNS.map((name) => column(name)), noun: "dead letter" }, terminal.table);
      }),
    );
  declareOne(command, act);
};

function declareOne(command: Command, act: Act): void {
  const one = (name: string, description: string) =>
    command.command(name).description(description).argument("<id>", "its number", number);
  one("show", "One of them, whole").action(
    act(async ({ args: [id], terminal, api }) => {
      const answer = await (await api()).get(`${PATH}/${id}`);
      const facts = Object.fromEntries(COLUMNS.map((name) => [name, answer[name]]));
      const note = "It cannot be put back: its data is not all that there was, or no text.";
      const lines = [terminal.facts(facts), ...(answer["truncated"] === true ? [note] : [])];
      return { answer, text: [...lines, "", printable(answer["data"] as string)].join("\n") };
    }),
  );
  one("put-back", "Have it processed again").action(
    act(async ({ args: [id], api }) => {
      const answer = await (await api()).send("POST", `${PATH}/${id}/put-back`);
      return { answer, text: `Dead letter ${id} is back on ${String(answer["subject"])}.` };
    }),
  );
  one("drop", "Forget it").action(
    act(async ({ args: [id], api }) => {
      await (await api()).send("DELETE", `${PATH}/${id}`);
      return { answer: { id: Number(id) }, text: `Dead letter ${id} is gone.` };
    }),
  );
}

function number(text: string): string {
  if (/^[1-9]\d{0,14}$/.test(text)) return text;
  throw new InvalidArgumentError("It has to be the number of a dead letter.");
}
