import type { Command } from "commander";
import { type Act, type Declare, limitOption, more, noteMore } from "../command.ts";
import { readArguments } from "../call-arguments.ts";
import { readEntry } from "../entry-file.ts";
import { declareDelete, declareList, declarePut, declareShow, placeOf, tableOf } from "../resources.ts";
import { column, textOf } from "../table.ts";

const POLICIES = {
  path: "/api/v1/policies",
  noun: "policy",
  idKey: "name",
  columns: ["id", "effect", "principals", "actions", "resources", "source", "drift", "version"].map((name) =>
    column(name),
  ),
  filters: [
    { name: "tenant", description: "that can concern somebody of this tenant" },
    { name: "effect", description: "what they do", choices: ["allow", "deny"] },
    { name: "source", description: "where they are from", choices: ["file", "api"] },
  ],
};

export const declare: Declare = (command, act) => {
  declareList(command.command("list").description("The policies."), act, POLICIES);
  declareShow(command.command("show").description("One policy."), act, POLICIES);
  declarePut(
    command.command("put").description("Create or replace one; returns when it is in force on every gateway."),
    act,
    { ...POLICIES, toBody: bodyOf },
  );
  declareDelete(command.command("delete").description("Remove one."), act, POLICIES);
  declareTest(command, act);
  command
    .command("history")
    .description("What it said over time, newest first.")
    .argument("<id>")
    .addOption(limitOption(100))
    .action(
      act<{ limit: number }>(async ({ args: [id], options: { limit }, terminal, api }) => {
        const answer = await (await api()).list(`${placeOf(POLICIES, id!)}/history`, { limit });
        noteMore(terminal, answer.nextCursor, limit);
        const columns = ["version", "change", "author", "at", "policy.effect", "policy.principals", "policy.resources"];
        const shown = { columns: columns.map((path) => column(path)), noun: "version" };
        return tableOf(answer, shown, terminal.table);
      }),
    );
};

const WRITTEN = ["effect", "principals", "actions", "resources", "conditions", "tenant", "description", "record"];

/** Shown policies say in Cedar what they compile to as well; only one that was written so is sent so. */
function bodyOf(entry: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const isShown = "isCedar" in entry;
  if (!isShown) return Object.fromEntries(Object.entries(entry).filter(([key]) => key !== "version"));
  const keys = entry["isCedar"] === true ? ["cedar", "tenant", "description", "record"] : WRITTEN;
  return Object.fromEntries(keys.filter((key) => key in entry).map((key) => [key, entry[key]]));
}

interface TestOptions {
  readonly as?: string;
  readonly action?: string;
  readonly arg?: readonly string[];
  readonly args?: string;
  readonly address?: string;
  readonly file?: string;
  readonly without?: readonly string[];
}

function declareTest(command: Command, act: Act): void {
  command
    .command("test")
    .description("Would this caller be allowed, and which policies say so? Exits with 1 where not.")
    .argument("[server]")
    .argument("[tool]")
    .requiredOption("--as <caller>", "token:NAME, agent:NAME or user:SUBJECT")
    .option("--action <action>", "where it is not to call a tool, such as admin/audit/read")
    .option("--arg <name=value>", "an argument of the call; may be given again", more)
    .option("--args <json>", "all arguments; - is the standard input")
    .option("--address <ip>", "from where it comes")
    .option("-f, --file <file>", "a policy that would be in force as well")
    .option("--without <id>", "a policy that would not; may be given again", more)
    .action(
      act<TestOptions>(async ({ args: [server, tool], options, here, api, terminal, mistake }) => {
        const { as = "", action, address, file, without = [] } = options;
        const [kind = "", ...rest] = as.split(":");
        if (!["token", "agent", "user"].includes(kind) || rest.length === 0)
          return mistake("--as has to be such as token:ci, agent:reviewer or user:alice");
        if (action === undefined && tool === undefined) return mistake("name a server and a tool, or an --action");
        const proposed = file === undefined ? [] : [await readEntry(file, here)];
        const body = {
          caller: { [kind]: rest.join(":"), ...(address === undefined ? {} : { address }) },
          action,
          server,
          tool,
          arguments: readArguments(options, { here }),
          proposed: proposed.map((entry) => ({ ...bodyOf(withoutName(entry)), id: entry["id"] ?? entry["name"] })),
          removed: without,
        };
        const answer = await (await api()).send("POST", "/api/v1/policies/test", { body });
        const isAllowed = answer["allow"] === true;
        const verdict = terminal.toned(isAllowed ? "allow" : "deny");
        const { allow: _allow, ...facts } = answer;
        return {
          answer,
          text: `${verdict}: ${textOf(answer["reason"])}\n${terminal.facts(facts)}`,
          code: isAllowed ? 0 : 1,
        };
      }),
    );
}

function withoutName({ name: _name, id: _id, ...entry }: Readonly<Record<string, unknown>>) {
  return entry;
}
