import { basename } from "node:path";
import type { Imported, ImportFormat } from "@tollgate/imports";
import { AppError } from "@tollgate/errors";
import { Option } from "commander";
import type { Api } from "../api.ts";
import type { Asked, Declare } from "../command.ts";
import { readText } from "../entry-file.ts";
import { ifVersion, placeOf } from "../resources.ts";
import { type Plan, planText } from "../plan-text.ts";
import type { Row } from "../table.ts";
import { askWhether } from "./apply.ts";
import { send } from "./plan.ts";

const FORMATS = ["registry", "claude-desktop", "cursor", "vscode", "openapi"] satisfies ImportFormat[];

const LISTED_MAX = 10_000;
/** The operations of a large document are read in seconds. */
const CONNECTORS_TIMEOUT_MS = 60_000;
const GROUPS = { path: "/api/v1/groups" };

interface Options {
  readonly group?: string;
  readonly format?: ImportFormat;
  readonly name?: string;
  readonly print?: true;
  readonly apply?: true;
  readonly replace?: true;
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
    .option("--replace", "with --apply: also what is there already under the same names")
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

/** What is to be put, and which of it is there already. */
interface Wanted {
  readonly body: Row;
  readonly plan: Plan;
  readonly groups: ReadonlyMap<string, Row>;
  readonly taken: readonly string[];
}

async function applyImport(asked: Asked<Options>, imported: Imported) {
  const { args, options, terminal, api } = asked;
  const { values, connectors, warnings } = imported;
  for (const warning of warnings) terminal.progress(`! ${warning}`);
  const client = await api();
  const { body, plan, groups, taken } = await lookAhead(asked, imported, client);
  const replace = options.replace === true;
  if (plan.changes.length === 0 && connectors.length === 0 && !replace)
    return { answer: plan, text: "All of it is there already." };
  if (taken.length > 0 && !replace)
    throw new AppError("already_exists", `there already: ${taken.join(", ")}; --replace puts these in their place`);
  if (options.yes !== true) {
    terminal.progress(planText(plan, terminal));
    for (const { group, entry } of connectors) terminal.progress(`+ connector ${entry.id} of the group ${group}`);
    if (values.size > 0) terminal.progress(`Secrets that are kept: ${[...values.keys()].join(", ")}`);
    await askWhether(terminal.ask);
  }
  await keepSecrets(imported, client, { from: basename(args[0]!), replace });
  const answer = plan.changes.length === 0 ? plan : ((await send(asked, "/api/v1/apply", body)) as Plan);
  await putConnectors(connectors, client, groups);
  const ids = [...answer.changes, ...connectors.map(({ entry }) => ({ kind: "connector", id: entry.id }))];
  return { answer, text: `Done: ${ids.map(({ kind, id }) => `${kind} ${id}`).join(", ")}.` };
}

/** Changes nothing. A group that is there stays as it is, but for the connectors that it gets. */
async function lookAhead(asked: Asked<Options>, imported: Imported, client: Api): Promise<Wanted> {
  const { groups, servers, connectors, values } = imported;
  const present = (await client.list("/api/v1/groups", { limit: LISTED_MAX })).items.map(({ id }) => id);
  const secrets = values.size === 0 ? [] : (await client.list("/api/v1/secrets", { limit: LISTED_MAX })).items;
  const shown = await Promise.all(
    groups
      .filter(({ id }) => present.includes(id))
      .map(async ({ id }) => [id, await client.get(placeOf(GROUPS, id))] as const),
  );
  const own = new Map(shown);
  // Servers are planned together with their groups, which stay what they are.
  const written = groups
    .filter(({ id }) => servers.length > 0 || !own.has(id))
    .map(({ id }) => ({ ...(own.get(id)?.["spec"] as Row | undefined), id }));
  const entries = {
    ...(written.length === 0 ? {} : { groups: written }),
    ...(servers.length === 0 ? {} : { mcp_servers: servers }),
  };
  const body = { document: JSON.stringify(entries), name: basename(asked.args[0]!) };
  const isEmpty = Object.keys(entries).length === 0;
  const plan = isEmpty ? { changes: [], warnings: [] } : ((await send(asked, "/api/v1/plan", body)) as Plan);
  const taken = [
    ...plan.changes.filter(({ change }) => change !== "create").map(({ kind, id }) => `${kind} ${id}`),
    ...connectors
      .filter(({ group, entry }) => connectorsOf(own.get(group)).some(({ id }) => id === entry.id))
      .map(({ entry }) => `connector ${entry.id}`),
    // Of version 0 it is in another store, or only named.
    ...secrets
      .filter(({ name, version }) => version !== 0 && values.has(String(name)))
      .map(({ name }) => `secret ${String(name)}`),
  ];
  return { body, plan, groups: own, taken };
}

/** Before their servers, which would not start without them. Each is for its server only. Values are never shown. */
async function keepSecrets(
  { secrets, values }: Imported,
  client: Api,
  { from, replace }: { from: string; replace: boolean },
): Promise<void> {
  const description = `imported from ${from}`;
  for (const { name, server } of secrets) {
    const value = values.get(name);
    if (value === undefined) continue;
    const place = placeOf({ path: "/api/v1/secrets" }, name);
    try {
      const body = { value, description, servers: [server] };
      await client.send("PUT", place, { body, headers: { "if-none-match": "*" } });
    } catch (error) {
      if (!replace || !(error instanceof AppError) || error.code !== "already_exists") throw error;
      // Who else may have it stays as it is.
      await client.send("PUT", place, { body: { value, description } });
    }
  }
}

/** Documents may be larger than what is planned and applied as one text. */
async function putConnectors(
  connectors: Imported["connectors"],
  client: Api,
  groups: ReadonlyMap<string, Row>,
): Promise<void> {
  for (const id of new Set(connectors.map(({ group }) => group))) {
    const shown = groups.get(id);
    const own = connectors.filter(({ group }) => group === id).map(({ entry }) => entry);
    const others = connectorsOf(shown).filter((each) => !own.some((entry) => entry.id === each["id"]));
    await client.send("PUT", `${placeOf(GROUPS, id)}/connectors`, {
      body: { connectors: [...others, ...own] },
      headers: ifVersion(shown?.["version"]),
      timeoutMs: CONNECTORS_TIMEOUT_MS,
    });
  }
}

function connectorsOf(group: Row | undefined): readonly Row[] {
  return ((group?.["spec"] as Row | undefined)?.["connectors"] ?? []) as Row[];
}

function given<T extends object>(options: T): { [K in keyof T]: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}
