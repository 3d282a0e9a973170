import type { Command } from "commander";
import { type Act, type Asked, type Declare, limitOption, noteMore, said } from "../command.ts";
import { readEntry } from "../entry-file.ts";
import { addFilters, declareList, filtersOf, tableOf } from "../resources.ts";
import { column, type Row, textOf } from "../table.ts";
import { printable } from "../terminal-text.ts";

const LIMIT_DEFAULT = 100;
const FILTERS = [
  { name: "group", description: "of this group" },
  { name: "risk", description: "of this risk", choices: ["LOW", "MEDIUM", "HIGH", "CRITICAL"] },
  { name: "certification", description: "how far they are", choices: ["draft", "submitted", "approved", "retired"] },
  { name: "hold", description: "that are kept back so", choices: ["held", "withheld"] },
];
const COLUMNS = [
  column("server"),
  column("name"),
  column("risk"),
  column("certification"),
  column("hold"),
  { title: "because", of: (row: Row) => textOf(row["holdReason"]) || textOf(row["riskReason"] ?? row["riskReasons"]) },
  { title: "description", of: (row: Row) => textOf(row["description"] ?? (row["definition"] as Row)?.["description"]) },
];

const serverPath = (server: string) => `/api/v1/servers/${encodeURIComponent(server)}/tools`;
const toolPath = (server: string, tool: string) => `${serverPath(server)}/${encodeURIComponent(tool)}`;

export const declare: Declare = (command, act) => {
  declareList(command.command("list").description("A server's tools.").argument("<server>"), act, {
    path: "/api/v1/tools",
    pathOf: ([server]) => serverPath(server!),
    noun: "tool",
    columns: COLUMNS.slice(1),
  });
  addFilters(command.command("search").description("Tools of the whole catalogue, by words."), FILTERS)
    .argument("[words...]", "of names, descriptions and arguments; none: all of them")
    .option("--server <id>", "of this server")
    .addOption(limitOption(LIMIT_DEFAULT))
    .action(
      act<{ limit: number; server?: string }>(async ({ args, options, terminal, api }) => {
        const { limit, server } = options;
        const words = args.join(" ");
        const query = { ...filtersOf(options, FILTERS), server, ...(words === "" ? {} : { q: words }) };
        const answer = await (await api()).list("/api/v1/tools", { query, limit });
        noteMore(terminal, answer.nextCursor, limit);
        return tableOf(answer, { columns: COLUMNS, noun: "such tool" }, terminal.table);
      }),
    );
  declareReading(command, act);
  declareDecisions(command, act);
  declareRegistration(command, act);
};

const VERSION_COLUMNS =
  "version certification served held risk firstSeen submittedBy decidedBy decidedAt comment".split(" ");

const one = (command: Command, name: string, description: string) =>
  command.command(name).description(description).argument("<server>").argument("<tool>", "as the server names it");

function declareReading(command: Command, act: Act): void {
  one(command, "show", "One tool, with its schemas.").action(
    act(async ({ args: [server, tool], terminal, api }) => {
      const answer = await (await api()).get(toolPath(server!, tool!));
      return { answer, text: terminal.facts(answer) };
    }),
  );
  one(command, "versions", "What its definition was, newest first, and what has changed.")
    .addOption(limitOption(LIMIT_DEFAULT))
    .action(
      act<{ limit: number }>(async ({ args: [server, tool], options: { limit }, terminal, api }) => {
        const answer = await (await api()).list(`${toolPath(server!, tool!)}/versions`, { limit });
        noteMore(terminal, answer.nextCursor, limit);
        const columns = VERSION_COLUMNS.map((name) => column(name));
        const [newest] = answer.items;
        const table = tableOf(answer, { columns, noun: "version" }, terminal.table);
        const difference = textOf(newest?.["difference"]);
        const isShown = difference !== "";
        return { ...table, text: isShown ? `${table.text}\n\nThe newest:\n${printable(difference)}` : table.text };
      }),
    );
}

const DECISIONS = {
  submit: "Ask for it to be certified.",
  approve: "Let its present definition be used.",
  reject: "Keep its new definition back.",
  retire: "Let it be used no more.",
} as const;

function declareDecisions(command: Command, act: Act): void {
  for (const [decision, description] of Object.entries(DECISIONS))
    one(command, decision, description)
      .option(
        "--of-version <n>",
        "of this version (default: what the server says now; it is shown to approve of)",
        Number,
      )
      .option("--comment <text>", "why, for people")
      .action(
        act<{ ofVersion?: number; comment?: string }>(async (asked) => {
          const { args, options, api } = asked;
          const [server, tool] = args;
          const { ofVersion, comment } = options;
          const version = ofVersion ?? (decision === "approve" ? await approved(asked) : undefined);
          if (version === null) return said({}, "Nothing is changed.");
          const body = { decision, version, comment };
          const answer = await (await api()).send("POST", `${toolPath(server!, tool!)}/decisions`, { body });
          const state = answer["certification"] ?? answer["status"];
          return said(
            answer,
            `${server}:${tool}: ${decision}, done${state === undefined ? "" : `; it is ${textOf(state)}`}.`,
          );
        }),
      );
}

/** The version that was shown and said yes to; null: it was not. The server may say another by then. */
async function approved({ args: [server, tool], api, terminal, mistake }: Asked): Promise<number | null> {
  const { items } = await (await api()).list(`${toolPath(server!, tool!)}/versions`, { limit: LIMIT_DEFAULT });
  const { version, difference, definition } = (items.find(({ held }) => held) ??
    items.find(({ served }) => served) ??
    items[0])!;
  const shown = textOf(difference) || JSON.stringify(definition, null, 2);
  terminal.progress(`${server}:${tool}, version ${textOf(version)}:\n${printable(shown)}`);
  const answer = await terminal.ask("Approve of it? [y/N] ");
  if (answer === undefined) return mistake(`say which version is approved of: --of-version ${textOf(version)}`);
  return /^y(es)?$/i.test(answer.trim()) ? (version as number) : null;
}

function declareRegistration(command: Command, act: Act): void {
  command
    .command("register")
    .description("Declare a tool of a server before it is there.")
    .argument("<server>")
    .requiredOption("-f, --file <file>", "its definition as of tools/list: YAML or JSON; - is the standard input")
    .action(
      act<{ file: string }>(async ({ args: [server], options, here, api }) => {
        const body = await readEntry(options.file, here);
        const answer = await (await api()).send("POST", serverPath(server!), { body });
        return said(answer, `${server}:${textOf(answer["name"] ?? body["name"])} is registered.`);
      }),
    );
  one(command, "remove", "Take it out of the catalogue.").action(
    act(async ({ args: [server, tool], api }) => {
      const answer = await (await api()).send("DELETE", toolPath(server!, tool!));
      return said(Object.keys(answer).length === 0 ? { server, tool } : answer, `${server}:${tool} is gone.`);
    }),
  );
}
