import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { type Act, type Declare, limitOption, noteMore, time } from "../command.ts";
import { addFilters, filtersOf, tableOf } from "../resources.ts";
import { column, textOf, valueAt } from "../table.ts";
import type { Row } from "../table.ts";
import { onOneLine } from "../terminal-text.ts";

const FILTERS = [
  { name: "tenant", description: "of this tenant" },
  { name: "kind", description: "of this kind: docs/events.md" },
  { name: "outcome", description: "a call's outcome, a refusal's code, what was changed" },
  { name: "principal", description: "of this principal, such as user:alice" },
  { name: "team", description: "of this team" },
  { name: "group", description: "of servers of this group" },
  { name: "server", description: "of this server" },
  { name: "tool", description: "of this tool" },
  { name: "policy", description: "that this policy decided on" },
  { name: "decision", description: "what policies decided", choices: ["allow", "deny"] },
  { name: "trace", description: "of this W3C trace" },
] as const;
const LIMIT_DEFAULT = 100;
const PAGE_MAX = 1_000;

/** Events differ by kind: what happened is in one of these places. */
const WHAT = ["outcome", "code", "change", "action", "alert", "event"] as const;
const WHY = ["reason", "decision.reason", "message"] as const;
const COLUMNS = [
  { title: "at", of: ({ endedAt }: Row) => (typeof endedAt === "number" ? new Date(endedAt).toISOString() : "") },
  column("kind"),
  { title: "who", of: (row: Row) => firstOf(row, ["principal", "actor", "by"]) },
  {
    title: "where",
    of: (row: Row) => placeIn(row, ["server", "tool"]) || placeIn(row, ["resource", "name"]),
  },
  { title: "what", of: (row: Row) => firstOf(row, WHAT) },
  { title: "why", of: (row: Row) => firstOf(row, WHY) },
];

function placeIn(row: Row, keys: readonly string[]): string {
  return keys
    .map((key) => textOf(row[key]))
    .filter(Boolean)
    .join(":");
}

function firstOf(row: Row, paths: readonly string[]): string {
  return paths.map((path) => textOf(valueAt(row, path))).find((text) => text !== "") ?? "";
}

export const declare: Declare = (command, act) => {
  addFilters(command.command("search").description("Events of the record, newest first: docs/audit.md."), FILTERS)
    .option("--from <time>", "since then", time)
    .option("--to <time>", "before then", time)
    .option("--text <words>", "words of the reason")
    .option("--id <id>", "the event of this id")
    .addOption(limitOption(LIMIT_DEFAULT))
    .action(
      act<{ limit: number; from?: string; to?: string; text?: string; id?: string }>(
        async ({ options, terminal, api }) => {
          const { limit, from, to, text, id } = options;
          const query = { ...filtersOf(options, FILTERS), from, to, text, id };
          const answer = await (await api()).list("/api/v1/audit/events", { query, limit, pageMax: PAGE_MAX });
          noteMore(terminal, answer.nextCursor, limit);
          return tableOf(answer, { columns: COLUMNS, noun: "event of this kind" }, terminal.table);
        },
      ),
    );
  addFilters(
    command.command("tail").description("Events as they come, until Ctrl-C; with --json each is a line."),
    FILTERS,
  )
    .option("--since <time>", "from then on", time)
    .action(
      act<{ since?: string }>(async ({ options, api, terminal }) => {
        const { tailEvents } = await import("../audit-tail.ts");
        const query = { ...filtersOf(options, FILTERS), since: options.since };
        const line = (event: Row) =>
          COLUMNS.map(({ of }) => onOneLine(of(event)))
            .filter(Boolean)
            .join("  ");
        const show = (text: string) => terminal.line(options.json === true ? text : line(JSON.parse(text) as Row));
        return tailEvents(await api(), { query, show, progress: terminal.progress });
      }),
    );
  declareEvidence(command, act);
  declareProofs(command, act);
};

function declareEvidence(command: Command, act: Act): void {
  command
    .command("evidence")
    .description("Events with all that proves them: docs/evidence.md.")
    .option("--tenant <name>")
    .option("--kind <kind>")
    .option("--from <time>", "since then", time)
    .option("--to <time>", "before then", time)
    .option("-o, --output <file>", "(default: the standard output)")
    .action(
      act<{ tenant?: string; kind?: string; from?: string; to?: string; output?: string }>(
        async ({ options, api, here, terminal }) => {
          const { tenant, kind, from, to } = options;
          const { fetchEvidence } = await import("../audit-evidence.ts");
          const output = options.output === undefined ? undefined : resolve(here, options.output);
          await fetchEvidence(await api(), { query: { tenant, kind, from, to }, output });
          if (output === undefined) return 0;
          terminal.progress(`${output} is written. npx tollgate audit verify ${output} proves it.`);
          return options.json === true ? { answer: { output }, text: "" } : 0;
        },
      ),
    );
}

function declareProofs(command: Command, act: Act): void {
  const key = () => new Option("--key <key>", "trust only what this public key vouches for: its PEM file, or its id");
  const asked = (file: string, here: string) => (file === "-" ? undefined : resolve(here, file));
  command
    .command("verify")
    .description("Proves an export of evidence from itself alone, and names what is wrong with it.")
    .argument("<file>", "- is the standard input")
    .addOption(key())
    .action(
      act<{ key?: string }>(async ({ args: [file], options, here }) => {
        const { verifyFile } = await import("../audit-verify.ts");
        return verifyFile({ file: asked(file!, here), key: options.key, json: options.json === true, here });
      }),
    );
  command
    .command("proof")
    .description("Proves one event, as GET /api/v1/audit/events/{id} gives it.")
    .argument("<file>", "- is the standard input")
    .addOption(key())
    .action(
      act<{ key?: string }>(async ({ args: [file], options, here }) => {
        const { verifyProof } = await import("../audit-verify.ts");
        return verifyProof({ file: asked(file!, here), key: options.key, json: options.json === true, here });
      }),
    );
}
