import { resolve } from "node:path";
import { Command, CommanderError } from "commander";
import { openApi } from "./api.ts";
import type { Act, Asked, Declare, GlobalOptions, Surroundings } from "./command.ts";
import { stateDirAt } from "./state-dir.ts";
import { openTerminal, type Streams } from "./terminal.ts";

interface Entry {
  readonly name: string;
  readonly alias?: string;
  readonly summary: string;
  /** For programs, not for people. */
  readonly isHidden?: true;
  readonly load: () => Promise<{ readonly declare: Declare }>;
}

/** Each loads what it needs when it is its turn and no more: `stop` and `--help` are quick. */
const ENTRIES: readonly Entry[] = [
  { name: "up", summary: "start Tollgate on this machine", load: () => import("./commands/up.ts") },
  { name: "stop", alias: "down", summary: "end it", load: () => import("./commands/stop.ts") },
  { name: "status", summary: "how everything is", load: () => import("./commands/status.ts") },
  {
    name: "doctor",
    summary: "find what is misconfigured, and say what to do",
    load: () => import("./commands/doctor.ts"),
  },
  { name: "servers", summary: "the MCP servers", load: () => import("./commands/servers.ts") },
  { name: "groups", summary: "the service groups, and their connectors", load: () => import("./commands/groups.ts") },
  { name: "tools", summary: "the tools: search, versions, certification", load: () => import("./commands/tools.ts") },
  { name: "sets", summary: "tool sets, one for each kind of project", load: () => import("./commands/sets.ts") },
  { name: "call", summary: "call a tool", load: () => import("./commands/call.ts") },
  { name: "policies", summary: "who may do what", load: () => import("./commands/policies.ts") },
  { name: "tokens", summary: "who may come in", load: () => import("./commands/tokens.ts") },
  { name: "tenants", summary: "the tenants", load: () => import("./commands/tenants.ts") },
  {
    name: "secrets",
    summary: "what servers are given and nobody is shown",
    load: () => import("./commands/secrets.ts"),
  },
  { name: "approvals", summary: "calls that wait for somebody's word", load: () => import("./commands/approvals.ts") },
  { name: "audit", summary: "what was done, and the proof of it", load: () => import("./commands/audit.ts") },
  { name: "usage", summary: "what calls used and cost", load: () => import("./commands/usage.ts") },
  { name: "chargeback", summary: "what each team pays for a month", load: () => import("./commands/chargeback.ts") },
  {
    name: "replay",
    summary: "run recorded calls again; build the record anew",
    load: () => import("./commands/replay.ts"),
  },
  { name: "import", summary: "servers and APIs of others' files", load: () => import("./commands/import.ts") },
  { name: "plan", summary: "what a configuration file would change", load: () => import("./commands/plan.ts") },
  { name: "apply", summary: "change what a configuration file says", load: () => import("./commands/apply.ts") },
  { name: "drift", summary: "what is otherwise than the file says", load: () => import("./commands/drift.ts") },
  { name: "dead-letters", summary: "what could not be processed", load: () => import("./commands/dead-letters.ts") },
  { name: "completion", summary: "completion for a shell", load: () => import("./commands/completion.ts") },
  { name: "version", summary: "of this command, and of the gateway", load: () => import("./commands/version.ts") },
  {
    name: "setup",
    summary: "ready an installation that others start",
    isHidden: true,
    load: () => import("./commands/setup.ts"),
  },
  { name: "__complete", summary: "for shells", isHidden: true, load: () => import("./commands/complete.ts") },
];

const CALLED_WRONGLY = 2;

const GROUPS = "Which gateway:";

/** The program's name and options, with those commands declared whose names are among the words. */
async function declareProgram(
  words: readonly string[],
  { act, streams }: { act: Act; streams: Pick<Streams, "out" | "err"> },
): Promise<Command> {
  const program = new Command("tollgate")
    .description("Looks after a Tollgate: the one in this folder, or any other one.")
    .exitOverride()
    .configureOutput({ writeOut: streams.out, writeErr: streams.err })
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .showHelpAfterError("(--help says more)")
    .option("--json", "the API's answer, for programs");
  program
    .optionsGroup(GROUPS)
    .option("--url <url>", "the gateway (TOLLGATE_URL); else the installation of this folder")
    .option("--token-file <file>", "whose first line is a token with the permission admin (or TOLLGATE_ADMIN_TOKEN)")
    .option("--token <token>", "the token itself; others on this machine can see it")
    .option("--ca-file <file>", "PEM file of the authority of its certificate (TOLLGATE_CA_FILE)")
    .option("--state <dir>", "the folder of the installation's state (default: .tollgate)");
  for (const { name, alias, summary, isHidden, load } of ENTRIES) {
    const command = program
      .command(name, { hidden: isHidden === true })
      .summary(summary)
      .description(summary);
    if (alias !== undefined) command.alias(alias);
    if (words.includes(name) || (alias !== undefined && words.includes(alias))) (await load()).declare(command, act);
  }
  return program;
}

/** With everything that there is, to be looked at. */
export function declareWhole(): Promise<Command> {
  const nowhere = (): void => undefined;
  return declareProgram(
    ENTRIES.map(({ name }) => name),
    { act: () => async () => undefined, streams: { out: nowhere, err: nowhere } },
  );
}

/** Runs a command line; gives the exit code: 0 done, 1 the answer is no or it failed, 2 called wrongly. */
export async function runProgram(around: Surroundings): Promise<number> {
  let code = 0;
  let last: Asked | undefined;
  const act: Act =
    (handle) =>
    async (...given) => {
      const command = given.at(-1) as Command;
      const asked = askedOf(command, around);
      last = asked;
      const came = await handle(asked as never);
      code = typeof came === "number" ? came : say(came, asked);
    };
  try {
    const program = await declareProgram(around.words, { act, streams: around.streams });
    await program.parseAsync(around.words, { from: "user" });
    return code;
  } catch (error) {
    // It has been said by then.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : CALLED_WRONGLY;
    const { explain } = await import("./next-step.ts");
    around.streams.err(`${await explain(error, last?.api)}\n`);
    return 1;
  }
}

function say({ answer, text, code = 0 }: { answer: unknown; text: string; code?: number }, asked: Asked): number {
  if (asked.options.json === true) asked.terminal.line(JSON.stringify(answer));
  else if (text !== "") asked.terminal.line(text);
  return code;
}

function askedOf(command: Command, around: Surroundings): Asked {
  const options: GlobalOptions = command.optsWithGlobals();
  const { root, here } = around;
  const state = stateDirAt(options.state === undefined ? resolve(root, ".tollgate") : resolve(here, options.state));
  const target = async () => (await import("./connect.ts")).findGateway(options, { ...around, state });
  return {
    ...around,
    args: command.args,
    options,
    state,
    terminal: openTerminal(around.streams),
    target,
    api: async () => openApi(await target()),
    mistake: (message) => command.error(`error: ${message}`),
  };
}
