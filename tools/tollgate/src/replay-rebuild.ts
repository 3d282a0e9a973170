import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseEnv } from "node:util";
import { AppError } from "@tollgate/errors";
import pg from "pg";
import type { Connect } from "./connect.ts";
import { inDatabase, prepareDatabase } from "./database.ts";
import { rotateLog } from "./log-files.ts";
import { pickPorts } from "./ports.ts";
import { compareChains, compareUsage, firstSequence, readChains, readPosition, readUsage } from "./rebuilt-tables.ts";
import type { Secrets } from "./secrets.ts";
import { startServiceProcess } from "./service-process.ts";
import type { StateDir } from "./state-dir.ts";
import type { Running } from "./supervisor.ts";

const NAMES = ["audit", "metering"] as const;
type Name = (typeof NAMES)[number];

const DATABASE_NAME = "tollgate_rebuilt";
const DATABASE_WAIT_MS = 5_000;
const STOP_WITHIN_MS = 15_000;
const LOOK_INTERVAL_MS = 1_000;

export interface RebuildOptions {
  readonly root: string;
  readonly state: StateDir;
  readonly connect: Connect;
  readonly secrets: Secrets;
  /** Of a superuser; absent: a database beside the installation's own. */
  readonly databaseUrl: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly output: { readonly line: (text: string) => void; readonly progress: (text: string) => void };
}

/**
 * Brings the stream into another database, with the services' own programs, and compares what comes out with what the
 * installation has, up to the message that it had recorded at the beginning. Nothing of the installation is changed. What
 * was begun in a database is gone on with.
 * @returns whether both are the same
 */
export async function rebuild(options: RebuildOptions): Promise<boolean> {
  const { connect, secrets, output } = options;
  if (connect.databaseUrl === undefined)
    throw new AppError("failed_precondition", "this installation does not say where its database is");
  const url = options.databaseUrl ?? inDatabase(connect.databaseUrl, DATABASE_NAME);
  if (
    new URL(url).pathname === new URL(connect.databaseUrl).pathname &&
    new URL(url).host === new URL(connect.databaseUrl).host
  )
    throw new AppError("invalid_argument", "this is the installation's own database: name another one");
  await prepareDatabase({ databaseUrl: url, secrets, waitMs: DATABASE_WAIT_MS });
  const used = new pg.Client({ connectionString: connect.databaseUrl });
  const rebuilt = new pg.Client({ connectionString: url });
  await Promise.all([used.connect(), rebuilt.connect()]);
  try {
    output.line(`rebuilding in the database ${new URL(url).pathname.slice(1)}`);
    await recordAll(options, { url, used, rebuilt });
    return await compareAll(used, rebuilt, output);
  } finally {
    await Promise.all([used.end(), rebuilt.end()]);
  }
}

async function recordAll(
  options: RebuildOptions,
  { url, used, rebuilt }: { url: string; used: pg.Client; rebuilt: pg.Client },
): Promise<void> {
  const stopping = new AbortController();
  const onSignal = (): void => stopping.abort(new AppError("cancelled", "ended; the same command goes on with it"));
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, onSignal);
  const running: Running[] = [];
  try {
    for (const name of NAMES) running.push(await startRecorder(name, options, { url, signal: stopping.signal }));
    const { signal } = stopping;
    const followed = Promise.all(NAMES.map((name) => follow(name, options, { used, rebuilt, signal })));
    const ended = running.map(async ({ exited }, at) => {
      const how = await exited;
      throw new AppError("unavailable", `${NAMES[at]} ${how}; see ${options.state.logFile(logName(NAMES[at]!))}`);
    });
    await Promise.race([followed, ...ended]);
  } finally {
    for (const name of ["SIGINT", "SIGTERM"] as const) process.off(name, onSignal);
    stopping.abort();
    await Promise.all(running.map((each) => each.stop()));
  }
}

/** The service as the installation runs it, but for where it listens and stores; and it sends nothing to anybody. */
async function startRecorder(
  name: Name,
  { root, state, env }: RebuildOptions,
  { url, signal }: { url: string; signal: AbortSignal },
): Promise<Running> {
  const { TOLLGATE_CONFIG_FILE: _file, ...own } = parseEnv(
    readFileSync(join(state.envDir, `${name}.env`), "utf8"),
  ) as Record<string, string>;
  const role = new URL(own["TOLLGATE_DATABASE_URL"]!);
  const database = new URL(url);
  role.host = database.host;
  role.pathname = database.pathname;
  const { http, grpc } = await pickPorts(["http", "grpc"]);
  const logFile = state.logFile(logName(name));
  rotateLog(logFile);
  return startServiceProcess({
    name,
    script: join(root, "services", name, "src/main.ts"),
    cwd: root,
    env: {
      PATH: env["PATH"] ?? "",
      HOME: env["HOME"] ?? "",
      ...own,
      TOLLGATE_DATABASE_URL: role.toString(),
      TOLLGATE_HTTP_PORT: String(http),
      TOLLGATE_GRPC_PORT: String(grpc),
    },
    logFile,
    stopWithinMs: STOP_WITHIN_MS,
    onSpawn: () => {},
    signal,
  });
}

function logName(name: Name): string {
  return `rebuild-${name}`;
}

/** Until the tables have what those in use had when this began. */
async function follow(
  name: Name,
  { output }: RebuildOptions,
  { used, rebuilt, signal }: { used: pg.Client; rebuilt: pg.Client; signal: AbortSignal },
): Promise<void> {
  const until = await readPosition(used, name);
  let from: number | undefined;
  for (;;) {
    signal.throwIfAborted();
    const at = await readPosition(rebuilt, name);
    if (at > 0) from ??= at;
    const share = at >= until ? 1 : (at - (from ?? at)) / Math.max(1, until - (from ?? at));
    output.progress(`${name}: message ${at} of ${until}, ${Math.floor(share * 100)} %`);
    if (at >= until) return;
    await delay(LOOK_INTERVAL_MS, undefined, { signal }).catch(() => {});
  }
}

async function compareAll(used: pg.Client, rebuilt: pg.Client, output: RebuildOptions["output"]): Promise<boolean> {
  const first = Math.max(1, await firstSequence(rebuilt, "audit.events"));
  const spanOf = async (name: Name) => ({
    first,
    last: Math.min(await readPosition(used, name), await readPosition(rebuilt, name)),
  });
  const [events, calls] = [await spanOf("audit"), await spanOf("metering")];
  const chains = compareChains(await readChains(used, events), await readChains(rebuilt, events));
  const usage = compareUsage(await readUsage(used, calls), await readUsage(rebuilt, calls));
  for (const line of [...chains.lines, ...usage.lines]) output.line(line);
  const isEqual = chains.isEqual && usage.isEqual;
  output.line(
    `messages ${events.first} to ${events.last} of the stream: the rebuilt tables are ${isEqual ? "the same" : "DIFFERENT"}`,
  );
  return isEqual;
}
