import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { EmbeddedError } from "./embedded-error.ts";
import { commandLine, endProcess, type StopStep } from "./process.ts";

/** The servers, by the file in which they leave their pid and by how they are stopped. */
export const natsPidFile = "nats-server.pid";
export const natsStop: readonly StopStep[] = [
  { signal: "SIGTERM", waitMs: 5_000 },
  { signal: "SIGKILL", waitMs: 2_000 },
];
export const postgresPidFile = "postmaster.pid";
/** PostgreSQL's fast, then immediate shutdown: the second leaves the write-ahead log to be replayed by the next start. */
export const postgresStop: readonly StopStep[] = [
  { signal: "SIGINT", waitMs: 8_000 },
  { signal: "SIGQUIT", waitMs: 3_000 },
  { signal: "SIGKILL", waitMs: 2_000 },
];

/** The pid in a server's pid file, whether or not it still lives. */
export async function readPid(file: string): Promise<number | undefined> {
  const text = await readFile(file, "utf8").catch(() => "");
  const pid = Number.parseInt(text, 10);
  return pid > 1 ? pid : undefined;
}

/** The process that the pid file names, if it really is the server of this data directory and not a later owner of its pid. */
async function serverOf(dataDir: string, pidFile: string): Promise<number | undefined> {
  const pid = await readPid(join(dataDir, pidFile));
  if (pid === undefined) return undefined;
  return (await commandLine(pid))?.includes(resolve(dataDir)) === true ? pid : undefined;
}

/** Throws when a server already runs on `dataDir`: two on one directory would destroy it. */
export async function assertUnused(options: {
  readonly name: string;
  readonly dataDir: string;
  readonly pidFile: string;
}): Promise<void> {
  const pid = await serverOf(options.dataDir, options.pidFile);
  if (pid !== undefined)
    throw new EmbeddedError("already_exists", `${options.name} already runs on ${options.dataDir} (process ${pid})`, {
      details: { pid },
    });
}

/**
 * Ends the NATS server or PostgreSQL that still runs on `dataDir` because its launcher was killed; gives its pid, if there
 * was one. Only for a launcher that knows to be the only one using this directory.
 * @throws EmbeddedError deadline_exceeded when the process survives every signal
 */
export async function endLeftover(options: { readonly dataDir: string }): Promise<number | undefined> {
  for (const [pidFile, steps] of [
    [natsPidFile, natsStop],
    [postgresPidFile, postgresStop],
  ] as const) {
    const pid = await serverOf(options.dataDir, pidFile);
    if (pid === undefined) continue;
    if (!(await endProcess(pid, steps)))
      throw new EmbeddedError("deadline_exceeded", `process ${pid} on ${options.dataDir} did not end`, {
        details: { pid },
      });
    return pid;
  }
  return undefined;
}
