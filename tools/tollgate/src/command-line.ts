import { parseArgs } from "node:util";
import { AUDIT_USAGE, type AuditCommand, parseAudit } from "./audit-command.ts";
import { parseReplay, REPLAY_USAGE, type ReplayCommand } from "./replay-command.ts";

export interface UpCommand {
  readonly kind: "up";
  readonly detach: boolean;
  /** Started by `up --detach`: tells its progress over the IPC channel and outlives it. */
  readonly background: boolean;
  readonly reset: boolean;
  /** 0 picks a free one; absent takes the configuration file's. */
  readonly port: number | undefined;
  readonly configFile: string | undefined;
  readonly stateDir: string | undefined;
}

const DEAD_ACTIONS = ["list", "show", "put-back", "drop"] as const;

/** For what could not be processed. */
export interface DeadCommand {
  readonly kind: "dead";
  readonly action: (typeof DEAD_ACTIONS)[number];
  /** Of every action but `list`. */
  readonly id: number;
  /** Of `list`: those of this service only; where its last page said that it goes on. */
  readonly service: string | undefined;
  readonly cursor: string | undefined;
  readonly json: boolean;
  readonly stateDir: string | undefined;
}

export type Command =
  | UpCommand
  | DeadCommand
  | AuditCommand
  | ReplayCommand
  | { readonly kind: "stop"; readonly stateDir: string | undefined }
  | { readonly kind: "setup"; readonly stateDir: string }
  | { readonly kind: "help" }
  | { readonly kind: "mistake"; readonly message: string };

export const USAGE = `Usage: npm start [-- OPTIONS]      start Tollgate on this machine
         --detach           return when it is ready
         --port N           the gateway's port (default: the configuration file's, else 8080)
         --config FILE      another tollgate.yaml
         --reset            forget all state first: tokens, events, streams, files
         --state DIR        where the state is (default: .tollgate)
       npm stop [-- --state DIR]   end it
       npm run dead-letters -- list [--service NAME] [--cursor C] | show ID | put-back ID | drop ID
                                   what could not be processed: look at it, have it processed again, forget it
         --json             for programs
${AUDIT_USAGE}${REPLAY_USAGE}`;

const OPTIONS = {
  up: {
    detach: { type: "boolean" },
    background: { type: "boolean" },
    reset: { type: "boolean" },
    port: { type: "string" },
    config: { type: "string" },
    state: { type: "string" },
    help: { type: "boolean", short: "h" },
  },
  stop: { state: { type: "string" }, help: { type: "boolean", short: "h" } },
  dead: {
    service: { type: "string" },
    cursor: { type: "string" },
    json: { type: "boolean" },
    state: { type: "string" },
    help: { type: "boolean", short: "h" },
  },
  setup: { state: { type: "string" }, help: { type: "boolean", short: "h" } },
} as const;

/** Reads the words after the program's name. */
export function parseCommandLine(words: readonly string[]): Command {
  const [name = "", ...rest] = words;
  if (["help", "--help", "-h"].includes(name)) return { kind: "help" };
  if (name === "audit") return parseAudit(rest);
  if (name === "replay") return parseReplay(rest);
  if (!Object.hasOwn(OPTIONS, name))
    return mistake(name === "" ? "no command is given" : `there is no command ${name}`);
  const kind = name as keyof typeof OPTIONS;
  let values: Readonly<Record<string, unknown>>;
  let positionals: readonly string[];
  try {
    const allowPositionals = kind === "dead";
    ({ values, positionals } = parseArgs({ args: rest, options: OPTIONS[kind], strict: true, allowPositionals }));
  } catch (error) {
    // Node's message goes on to explain how to pass such a word as a positional, which there are none of.
    return mistake((error as Error).message.split(". To specify")[0]!);
  }
  if (values["help"] === true) return { kind: "help" };
  const stateDir = values["state"] as string | undefined;
  if (kind === "stop") return { kind, stateDir };
  if (kind === "setup") return stateDir === undefined ? mistake("setup needs --state DIR") : { kind, stateDir };
  if (kind === "dead") return parseDead(positionals, values);
  const port = values["port"] === undefined ? undefined : Number(values["port"]);
  if (port !== undefined && !(/^\d{1,5}$/.test(String(values["port"])) && port <= 65_535)) {
    return mistake("--port has to be a number from 0 to 65535");
  }
  return {
    kind,
    detach: values["detach"] === true,
    background: values["background"] === true,
    reset: values["reset"] === true,
    port,
    configFile: values["config"] as string | undefined,
    stateDir,
  };
}

function parseDead([action, id, ...more]: readonly string[], values: Readonly<Record<string, unknown>>): Command {
  const known = DEAD_ACTIONS.find((each) => each === action);
  if (known === undefined) return mistake(`dead needs one of ${DEAD_ACTIONS.join(", ")}`);
  const unexpected = known === "list" ? id : more[0];
  if (unexpected !== undefined) return mistake(`Unexpected argument '${unexpected}'`);
  if (known !== "list" && !/^[1-9]\d{0,14}$/.test(id ?? ""))
    return mistake(`${known} needs the number of a dead letter`);
  return {
    kind: "dead",
    action: known,
    id: Number(id ?? 0),
    service: values["service"] as string | undefined,
    cursor: values["cursor"] as string | undefined,
    json: values["json"] === true,
    stateDir: values["state"] as string | undefined,
  };
}

function mistake(message: string): Command {
  return { kind: "mistake", message };
}
