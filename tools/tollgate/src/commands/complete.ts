import type { Command } from "commander";
import type { Api } from "../api.ts";
import type { Declare } from "../command.ts";
import { idsOf } from "../next-step.ts";

/** A shell that waits for longer is a nuisance. */
const IDS_WITHIN_MS = 300;

/** Where the ids of an argument are, by the command's first word. */
const LISTS: Readonly<Record<string, string>> = {
  servers: "/api/v1/servers",
  call: "/api/v1/servers",
  tools: "/api/v1/servers",
  groups: "/api/v1/groups",
  policies: "/api/v1/policies",
  tokens: "/api/v1/tokens",
  tenants: "/api/v1/tenants",
  secrets: "/api/v1/secrets",
  sets: "/api/v1/tool-sets",
  approvals: "/api/v1/approvals",
  "dead-letters": "/api/v1/dead-letters",
};
const OPTION_LISTS: Readonly<Record<string, string>> = {
  "--server": "/api/v1/servers",
  "--against": "/api/v1/servers",
  "--group": "/api/v1/groups",
  "--tenant": "/api/v1/tenants",
  "--policy": "/api/v1/policies",
};
const NEW_NAMES = new Set(["create", "set", "search", "import"]);

export const declare: Declare = (command, act) => {
  command.argument("[words...]").action(
    act(async ({ args, api }) => {
      const begun = args.at(-1) ?? "";
      const { declareWhole } = await import("../program.ts");
      const found = await candidates(await declareWhole(), args, (list) => ids(api, list));
      const fitting = found.filter((each) => each.startsWith(begun));
      return { answer: fitting, text: fitting.join("\n") };
    }),
  );
};

type IdsOf = (list: string) => Promise<string[]>;

/** Whoever completes a word does not want to hear of what is wrong. */
async function ids(open: () => Promise<Api>, list: string): Promise<string[]> {
  try {
    const found = await idsOf(await open(), list, { timeoutMs: IDS_WITHIN_MS });
    return found.filter((id) => /^[^\s'"\\$]+$/.test(id));
  } catch {
    return [];
  }
}

/** What may stand in the last word's place. */
async function candidates(program: Command, words: readonly string[], idsAt: IdsOf): Promise<string[]> {
  const before = words.slice(0, -1);
  const begun = words.at(-1) ?? "";
  let at = program;
  const path: string[] = [];
  const given: string[] = [];
  for (let index = 0; index < before.length; index++) {
    const word = before[index]!;
    if (word.startsWith("-")) {
      const option = optionOf(at, program, word);
      if (option?.required === true && !word.includes("=")) {
        if (index === before.length - 1) return option.argChoices ?? optionIds(word, idsAt);
        index++;
      }
      continue;
    }
    const next = at.commands.find((each) => each.name() === word || each.aliases().includes(word));
    if (next === undefined) given.push(word);
    else [at, path[path.length]] = [next, next.name()];
  }
  if (begun.startsWith("-")) return optionNames(at, program);
  if (at.commands.length > 0) return commandNames(at);
  return argumentValues(at, { path, given, idsAt });
}

function optionOf(command: Command, program: Command, word: string) {
  const name = word.split("=")[0]!;
  return [...command.options, ...program.options].find(({ long, short }) => long === name || short === name);
}

function optionIds(word: string, idsAt: IdsOf): Promise<string[]> | string[] {
  const list = OPTION_LISTS[word];
  return list === undefined ? [] : idsAt(list);
}

function optionNames(command: Command, program: Command): string[] {
  const all = [...command.options, ...program.options].filter(({ hidden }) => !hidden);
  return [...all.flatMap(({ long }) => long ?? []), "--help"];
}

function commandNames(command: Command): string[] {
  const shown = command.createHelp().visibleCommands(command);
  return shown.flatMap((each) => [each.name(), ...each.aliases()]);
}

async function argumentValues(
  command: Command,
  { path, given, idsAt }: { path: readonly string[]; given: readonly string[]; idsAt: IdsOf },
): Promise<string[]> {
  const argument = command.registeredArguments[given.length];
  if (argument?.argChoices !== undefined) return argument.argChoices;
  const [first = "", action = ""] = path;
  if (argument === undefined || NEW_NAMES.has(action) || argument.name() === "file") return [];
  const [server] = given;
  if (argument.name() === "tool" && server !== undefined)
    return idsAt(`/api/v1/servers/${encodeURIComponent(server)}/tools`);
  const list = LISTS[first];
  return list === undefined || given.length > 0 ? [] : idsAt(list);
}
