import { basename } from "node:path";
import type { Imported, ImportFormat } from "@tollgate/imports";
import { Option } from "commander";
import type { Api } from "../api.ts";
import type { Asked, Declare } from "../command.ts";
import { readText } from "../entry-file.ts";
import { placeOf } from "../resources.ts";
import { type Plan, planText } from "../plan-text.ts";
import type { Row } from "../table.ts";
import { askWhether } from "./apply.ts";
import { send } from "./plan.ts";

const FORMATS = ["registry", "claude-desktop", "cursor", "vscode", "openapi"] satisfies ImportFormat[];

const GROUPS_MAX = 1_000;

interface Options {
  readonly group?: string;
  readonly format?: ImportFormat;
  readonly name?: string;
  readonly print?: true;
  readonly apply?: true;
  readonly yes?: true;
}

export const declare: Declare = (command, act) => {
  command
    .description("Entries of tollgate.yaml from a client's configuration, a server.json or an OpenAPI document.")
    .argument("<file>", "- is the standard input")
    .option("--group <id>", "in which group they are to be")
    .addOption(new Option("--format <format>", "(default: found out)").choices(FORMATS))
    .option("--name <name>", "of what is imported, where the file has none")
    .option("--print", "show what to put into tollgate.yaml; nothing is changed (the default)")
    .option("--apply", "put it behind the gate, and keep its secrets")
    .option("-y, --yes", "do not ask")
    .action(
      act<Options>(async (asked) => {
        const { args, options, here, mistake } = asked;
        if (options.print === true && options.apply === true) mistake("--print and --apply are one or the other");
        const { importDocument, toYaml } = await import("@tollgate/imports");
        const { group, format, name } = options;
        const imported = importDocument(readText(args[0]!, here), given({ group, format, name }));
        if (options.apply === true) return applyImport(asked, imported);
        const { values: _values, ...answer } = imported;
        return { answer, text: toYaml(imported).trimEnd() };
      }),
    );
};

/** The secrets first: what needs them would not start. Their values are sent and never shown. */
async function applyImport(asked: Asked<Options>, imported: Imported) {
  const { args, options, terminal, api } = asked;
  const { servers, values, warnings } = imported;
  for (const warning of warnings) terminal.progress(`! ${warning}`);
  const client = await api();
  const entries = {
    groups: await groupsOf(imported, client),
    ...(servers.length === 0 ? {} : { mcp_servers: servers }),
  };
  const body = { document: JSON.stringify(entries), name: basename(args[0]!) };
  if (options.yes !== true) {
    const plan = (await send(asked, "/api/v1/plan", body)) as Plan;
    terminal.progress(planText(plan, terminal));
    if (values.size > 0) terminal.progress(`Secrets that are kept: ${[...values.keys()].join(", ")}`);
    await askWhether(terminal.ask);
  }
  for (const [name, value] of values)
    await client.send("PUT", placeOf({ path: "/api/v1/secrets" }, name), {
      body: { value, description: `imported from ${basename(args[0]!)}` },
    });
  const answer = (await send(asked, "/api/v1/apply", body)) as Plan;
  const ids = answer.changes.map(({ kind, id }) => `${kind} ${id}`).join(", ");
  return { answer, text: answer.changes.length === 0 ? "All of it is there already." : `Done: ${ids}.` };
}

/** A group that is there stays as it is, but for the connectors that it gets. */
async function groupsOf({ groups, connectors }: Imported, api: Api): Promise<Row[]> {
  const present = (await api.list("/api/v1/groups", { limit: GROUPS_MAX })).items;
  return Promise.all(
    groups.map(async (group) => {
      const isThere = present.some(({ id }) => id === group.id);
      const spec: Row = isThere
        ? ((await api.get(placeOf({ path: "/api/v1/groups" }, group.id)))["spec"] as Row)
        : { ...group };
      const own = connectors.filter((each) => each.group === group.id).map(({ entry }) => entry);
      const before = ((spec["connectors"] ?? []) as Row[]).filter(({ id }) => !own.some((each) => each.id === id));
      const all = [...before, ...own];
      return { ...spec, id: group.id, ...(all.length === 0 ? {} : { connectors: all }) };
    }),
  );
}

function given<T extends object>(options: T): { [K in keyof T]: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}
