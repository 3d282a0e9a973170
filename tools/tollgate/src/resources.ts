import { type Command, Option } from "commander";
import type { Listed } from "./api.ts";
import { type Act, limitOption, noteMore, type Said } from "./command.ts";
import { readEntry } from "./entry-file.ts";
import { type Column, type Row, textOf } from "./table.ts";

/** Things of one kind, as the API has them: all are listed, shown, put and deleted alike. */
export interface Resource {
  /** `/api/v1/policies`. */
  readonly path: string;
  /** In sentences: `policy`. */
  readonly noun: string;
  readonly columns: readonly Column[];
  /** Filters of the list, which the API has under the same names. */
  readonly filters?: readonly Filter[];
  readonly pageMax?: number;
  /** Its service pages it, in the only order that there is. */
  readonly isOrdered?: true;
}

export interface Filter {
  readonly name: string;
  readonly description: string;
  readonly choices?: readonly string[];
}

const LIMIT_DEFAULT = 1_000;

export const placeOf = ({ path }: Pick<Resource, "path">, id: string): string => `${path}/${encodeURIComponent(id)}`;

export function addFilters(command: Command, filters: readonly Filter[] = []): Command {
  for (const { name, description, choices } of filters) {
    const option = new Option(`--${name} <${name}>`, description);
    command.addOption(choices === undefined ? option : option.choices(choices));
  }
  return command;
}

/** What was said of the filters. */
export function filtersOf(options: object, filters: readonly Filter[] = []): Record<string, string | undefined> {
  const given = options as Readonly<Record<string, string | undefined>>;
  return Object.fromEntries(filters.map(({ name }) => [name, given[name]]));
}

/** @param pathOf where the list is, for those of one other thing */
export function declareList(
  command: Command,
  act: Act,
  resource: Resource & { pathOf?: (args: readonly string[]) => string },
): Command {
  const { path, pathOf = () => path, filters, columns, pageMax, noun } = resource;
  addFilters(command, filters);
  if (resource.isOrdered !== true)
    command
      .option("--sort <fields>", "by these, such as name,-updatedAt")
      .option("-q, --search <words>", "those that hold these words");
  return command.addOption(limitOption(LIMIT_DEFAULT)).action(
    act<{ limit: number; sort?: string; search?: string }>(async ({ args, options, terminal, api }) => {
      const { limit, sort, search } = options;
      const query = { ...filtersOf(options, filters), sort, q: search };
      const page = { query, limit, ...(pageMax === undefined ? {} : { pageMax }) };
      const answer = await (await api()).list(pathOf(args), page);
      noteMore(terminal, answer.nextCursor, limit);
      return tableOf(answer, { columns, noun }, terminal.table);
    }),
  );
}

export function tableOf(
  answer: Listed,
  { columns, noun }: Pick<Resource, "columns" | "noun">,
  table: (columns: readonly Column[], rows: readonly Row[]) => string,
): Said {
  const text = answer.items.length === 0 ? `There is no ${noun}.` : table(columns, answer.items);
  return { answer, text };
}

export function declareShow(command: Command, act: Act, resource: Pick<Resource, "path">): Command {
  return command.argument("<id>").action(
    act(async ({ args: [id], terminal, api }) => {
      const answer = await (await api()).get(placeOf(resource, id!));
      return { answer, text: terminal.facts(answer) };
    }),
  );
}

export function declareDelete(command: Command, act: Act, resource: Pick<Resource, "path" | "noun">): Command {
  return command.argument("<id>").action(
    act(async ({ args: [id], api }) => {
      const answer = await (await api()).send("DELETE", placeOf(resource, id!));
      return {
        answer: Object.keys(answer).length === 0 ? { id } : answer,
        text: `The ${resource.noun} ${id} is gone.`,
      };
    }),
  );
}

/** What only the API says of an entry: whoever sends back what was shown does not say it. */
const SHOWN_ONLY = [
  "version",
  "source",
  "updatedAt",
  "updatedBy",
  "createdAt",
  "createdBy",
  "revision",
  "isCedar",
  "drift",
];

/**
 * From an entry as in tollgate.yaml, or as it was shown: that one says its version, and nothing else is replaced.
 * @param idKey under which name the file has the id, beside `id`
 */
export function declarePut(
  command: Command,
  act: Act,
  resource: Pick<Resource, "path" | "noun"> & { idKey?: string; toBody?: (entry: Row) => Row },
): Command {
  const { noun, idKey = "id", toBody = withoutShown } = resource;
  return command
    .argument("[id]", "where the file does not say it")
    .requiredOption("-f, --file <file>", `${noun}, as an entry of tollgate.yaml: YAML or JSON; - is the standard input`)
    .option("--if-version <n>", "only where this is the present version")
    .action(
      act<{ file: string; ifVersion?: string }>(async ({ args, options, here, api, mistake }) => {
        const { entry, version } = await readShown(options.file, here);
        const id = args[0] ?? entry["id"] ?? entry[idKey];
        if (typeof id !== "string") return mistake(`the file has no ${idKey}: name the ${noun}`);
        const { id: _id, [idKey]: _name, ...rest } = entry;
        const sending = { body: toBody(rest), headers: ifVersion(options.ifVersion ?? version) };
        const answer = await (await api()).send("PUT", placeOf(resource, id), sending);
        return { answer, text: `The ${noun} ${id} is in force.` };
      }),
    );
}

/** An entry of a file; what `show --json` has printed is one, too, and of a version. */
export async function readShown(file: string, here: string): Promise<{ entry: Row; version: unknown }> {
  const read = await readEntry(file, here);
  const spec = read["spec"];
  const isShown = typeof spec === "object" && spec !== null;
  return { entry: isShown ? { id: read["id"], ...spec } : read, version: read["version"] };
}

/** A change of another version than this is refused; of none, of whatever is there. */
export function ifVersion(version: unknown): Record<string, string> {
  return version === undefined ? {} : { "if-match": `"${textOf(version)}"` };
}

function withoutShown(entry: Row): Row {
  return Object.fromEntries(Object.entries(entry).filter(([key]) => !SHOWN_ONLY.includes(key)));
}
