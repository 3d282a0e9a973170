import { readFile, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { RunAs } from "./account.ts";
import { EmbeddedError } from "./embedded-error.ts";
import { assertUnused, postgresPidFile, postgresStop, readPid } from "./leftover.ts";
import { type LogFile, openLog } from "./log-file.ts";
import { PortTakenError, withPort } from "./port.ts";
import { findPostgresBinaries } from "./postgres-binaries.ts";
import { prepareCluster } from "./postgres-cluster.ts";
import { type Child, commandLine, isAlive, type Running, startServer, stopServer, untilReady } from "./process.ts";

/** After a crash the write-ahead log is replayed first: at most max_wal_size of it. */
const readyWithinMs = 60_000;
/** How long the sessions of a killed server may take to notice and let go of its memory. */
const formerSessionsMs = 10_000;
const formerSessionsPollMs = 200;

const SETTINGS = [
  "listen_addresses=127.0.0.1",
  "unix_socket_directories=",
  "max_connections=100",
  "shared_buffers=256MB",
  "wal_compression=on",
  "max_wal_size=2GB",
  "checkpoint_timeout=15min",
  "timezone=UTC",
  "log_timezone=UTC",
  // A statement and an error's detail may hold a secret or a tenant's data; the client gets both, the log neither.
  "log_min_error_statement=panic",
  "log_error_verbosity=terse",
  "log_checkpoints=off",
] as const;
/** For tests: a crash of the machine, though not of the server, may lose data. */
const VOLATILE_SETTINGS = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"] as const;

export interface PostgresOptions {
  /** Made when it is not there. */
  readonly dataDir: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Of the superuser "postgres"; taken when the data directory is made, and must stay the same. */
  readonly password: string;
  readonly logFile: string;
  readonly log?: ((line: string) => void) | undefined;
  /** False gives up durability for speed: for tests only. */
  readonly durable?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Starts PostgreSQL on 127.0.0.1, as `nobody` (or the data's owner) when this process is root's; `adminUrl` carries the
 * superuser's password.
 * @throws EmbeddedError port taken, data in use or of another version, or not ready (with the end of its log)
 */
export async function startPostgres(options: PostgresOptions): Promise<Running & { readonly adminUrl: string }> {
  const { signal, durable = true, log = () => undefined } = options;
  if (!/^[\x21-\x7e]+$/.test(options.password))
    throw new EmbeddedError("invalid_argument", "PostgreSQL's password must be printable ASCII without spaces");
  const dataDir = resolve(options.dataDir);
  const binaries = await findPostgresBinaries(signal);
  const runAs = await prepareCluster({
    dataDir,
    password: options.password,
    durable,
    binaries,
    log,
    signal,
  });
  await assertUnused({ name: "PostgreSQL", dataDir, pidFile: postgresPidFile });
  await removeStaleLock(dataDir);
  return withPort({ name: "PostgreSQL", port: options.port }, async (port) => {
    const logFile = await openLog(options.logFile);
    const settings = [...SETTINGS, ...(durable ? [] : VOLATILE_SETTINGS), `port=${port}`];
    const command = ["-D", dataDir, ...settings.flatMap((setting) => ["-c", setting])];
    const child = await launch({
      runAs,
      program: binaries.postgres,
      command,
      dataDir,
      port,
      logFile,
      signal,
    });
    let stopping: Promise<void> | undefined;
    return {
      pid: child.pid,
      port,
      adminUrl: `postgres://postgres:${encodeURIComponent(options.password)}@127.0.0.1:${port}/postgres`,
      exited: child.exited,
      stop: () => (stopping ??= stopServer(child, postgresStop)),
    };
  });
}

/** Starts the server until it is ready, again while sessions of a killed predecessor still hold its shared memory. */
async function launch(options: {
  readonly runAs: RunAs;
  readonly program: string;
  readonly command: readonly string[];
  readonly dataDir: string;
  readonly port: number;
  readonly logFile: LogFile;
  readonly signal: AbortSignal | undefined;
}): Promise<Child> {
  const deadline = Date.now() + formerSessionsMs;
  for (;;) {
    const child = await startServer(options.runAs(options.program, options.command), options.logFile);
    try {
      return await untilReady({
        name: "PostgreSQL",
        child,
        log: options.logFile,
        timeoutMs: readyWithinMs,
        stop: postgresStop,
        signal: options.signal,
        probe: async () => ((await isReady(options.dataDir, child.pid)) ? child : undefined),
      });
    } catch (error) {
      const message = error instanceof Error ? error.message : "";
      if (/Address already in use/.test(message)) throw new PortTakenError("PostgreSQL", options.port, error);
      if (!/pre-existing shared memory block/.test(message) || Date.now() > deadline) throw error;
      await delay(formerSessionsPollMs);
    }
  }
}

/** As `pg_ctl --wait` does: line 1 of the lock file is the server's pid, line 8 its state. No other server can be mistaken for it. */
async function isReady(dataDir: string, pid: number): Promise<boolean> {
  const lines = (await readFile(join(dataDir, postgresPidFile), "utf8").catch(() => "")).split("\n");
  return lines[0] === String(pid) && lines[7]?.trim() === "ready";
}

/**
 * PostgreSQL ignores the lock file of a dead process, but not one whose pid another program of the same user has by now, as
 * happens after a restart of the machine or container. Called once it is known that no server runs on `dataDir`.
 */
async function removeStaleLock(dataDir: string): Promise<void> {
  const file = join(dataDir, postgresPidFile);
  const pid = await readPid(file);
  if (pid === undefined || !isAlive(pid)) return;
  const command = await commandLine(pid);
  if (command !== undefined && !command.includes("postgres")) await rm(file, { force: true });
}
