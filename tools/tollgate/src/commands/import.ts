import { AppError } from "@tollgate/errors";
import type { Asked, Declare } from "../command.ts";
import { readText } from "../entry-file.ts";
import { placeOf } from "../resources.ts";
import type { Plan } from "../plan-text.ts";
import { askWhether } from "./apply.ts";
import { send } from "./plan.ts";

interface Options {
  readonly group?: string;
  readonly format?: string;
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
    .option("--format <format>", "registry, claude-desktop, cursor, vscode or openapi (default: found out)")
    .option("--name <name>", "of what is imported, where the file has none")
    .option("--print", "show what to put into tollgate.yaml; nothing is changed (the default)")
    .option("--apply", "put it behind the gate, and keep its secrets")
    .option("-y, --yes", "do not ask")
    .action(
      act<Options>(async (asked) => {
        const { args, options, here, terminal, mistake } = asked;
        if (options.print === true && options.apply === true) mistake("--print and --apply are one or the other");
        const { importDocument, toYaml } = await import("@tollgate/imports");
        const { group, format, name } = options;
        const imported = importDocument(readText(args[0]!, here), given({ group, format, name }));
        for (const warning of imported.warnings) terminal.progress(`! ${warning}`);
        const document = toYaml(imported);
        const { values, ...answer } = imported;
        if (options.apply === true) return applyImport(asked, { document, values });
        for (const { name: secret } of imported.secrets)
          terminal.progress(`! the secret ${secret} is to be set: tollgate secrets set ${secret}`);
        return { answer, text: document.trimEnd() };
      }),
    );
};

/** The secrets first: what needs them would not start. Their values are sent and never shown. */
async function applyImport(
  asked: Asked<Options>,
  { document, values }: { document: string; values: ReadonlyMap<string, string> },
) {
  const { args, options, terminal, api } = asked;
  if (options.yes !== true) {
    terminal.progress(document.trimEnd());
    if (values.size > 0) terminal.progress(`Secrets that are kept: ${[...values.keys()].join(", ")}`);
    await askWhether(terminal.ask);
  }
  const client = await api();
  for (const [name, value] of values)
    await client.send("PUT", placeOf({ path: "/api/v1/secrets" }, name), {
      body: { value, description: `imported from ${args[0]}` },
    });
  const answer = (await send(asked, "/api/v1/apply", { document, name: args[0] })) as Plan;
  const ids = answer.changes.map(({ kind, id }) => `${kind} ${id}`).join(", ");
  if (answer.changes.length === 0) throw new AppError("already_exists", "all of it is there already");
  return { answer, text: `Done: ${ids}.` };
}

function given<T extends object>(options: T): { [K in keyof T]: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}
