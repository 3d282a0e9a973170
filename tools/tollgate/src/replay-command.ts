import { parseArgs } from "node:util";

/** Runs recorded calls of read-only tools again. */
export interface ReplayCallsCommand {
  readonly kind: "replay-calls";
  readonly server: string;
  /** Another server that is asked in its place. */
  readonly against: string | undefined;
  readonly tool: string | undefined;
  readonly tenant: string | undefined;
  /** ISO 8601, or Unix milliseconds. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly limit: number;
  /** Places in results that are expected to differ. */
  readonly ignore: readonly string[];
  /** Where is written down what is done, and read what was done before. */
  readonly resumeFile: string | undefined;
  readonly stateDir: string | undefined;
}

/** Brings the stream into an empty database and compares it with the one in use. */
export interface ReplayRebuildCommand {
  readonly kind: "replay-rebuild";
  /** Of a superuser. */
  readonly databaseUrl: string | undefined;
  readonly stateDir: string | undefined;
}

export type ReplayCommand = ReplayCallsCommand | ReplayRebuildCommand;

export const REPLAY_USAGE = `       tollgate replay calls --server ID [--against ID] [--tool NAME] [--tenant NAME] [--from TIME] [--to TIME]
                                   run recorded calls of read-only tools again and show what has changed
         --limit N          the newest N of them (default: 1000)
         --ignore PATH      a place in results that may differ, such as structuredContent.time or content[*].text
         --resume FILE      keep what is done there, and go on from it
       tollgate replay rebuild [--database URL]
                                   bring the stream into an empty database, and compare it with the one in use
`;

const LIMIT_DEFAULT = 1_000;
const LIMIT_MAX = 100_000;
const TEXT = { type: "string" } as const;
const OPTIONS = {
  calls: {
    server: TEXT,
    against: TEXT,
    tool: TEXT,
    tenant: TEXT,
    from: TEXT,
    to: TEXT,
    limit: TEXT,
    ignore: { type: "string", multiple: true },
    resume: TEXT,
    state: TEXT,
    help: { type: "boolean", short: "h" },
  },
  rebuild: { database: TEXT, state: TEXT, help: { type: "boolean", short: "h" } },
} as const;

/** Reads the words after `replay`. */
export function parseReplay(
  words: readonly string[],
): ReplayCommand | { readonly kind: "help" } | { readonly kind: "mistake"; readonly message: string } {
  const [action, ...rest] = words;
  const mistake = (message: string) => ({ kind: "mistake", message }) as const;
  if (action === "--help" || action === "-h") return { kind: "help" };
  if (action !== "calls" && action !== "rebuild") return mistake("replay needs one of calls, rebuild");
  let values: Readonly<Record<string, unknown>>;
  try {
    ({ values } = parseArgs({ args: rest, options: OPTIONS[action], strict: true }));
  } catch (error) {
    return mistake((error as Error).message.split(". To specify")[0]!);
  }
  if (values["help"] === true) return { kind: "help" };
  const text = (name: string) => values[name] as string | undefined;
  const stateDir = text("state");
  if (action === "rebuild") return { kind: "replay-rebuild", databaseUrl: text("database"), stateDir };
  const server = text("server");
  if (server === undefined) return mistake("replay calls needs --server ID");
  const limit = Number(text("limit") ?? LIMIT_DEFAULT);
  if (!Number.isInteger(limit) || limit < 1 || limit > LIMIT_MAX)
    return mistake(`--limit has to be a number from 1 to ${LIMIT_MAX}`);
  for (const name of ["from", "to"] as const)
    if (text(name) !== undefined && !isTime(text(name)!))
      return mistake(`--${name} has to be a time, such as 2026-11-21T07:00:00Z`);
  return {
    kind: "replay-calls",
    server,
    against: text("against"),
    tool: text("tool"),
    tenant: text("tenant"),
    from: text("from"),
    to: text("to"),
    limit,
    ignore: (values["ignore"] as string[] | undefined) ?? [],
    resumeFile: text("resume"),
    stateDir,
  };
}

function isTime(text: string): boolean {
  return /^\d{1,16}$/.test(text) || (/^\d{4}-/.test(text) && !Number.isNaN(Date.parse(text)));
}
