import { chown, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { defaultOwner, findRunAs, isRoot, type Owner, type RunAs } from "./account.ts";
import { EmbeddedError, systemCode } from "./embedded-error.ts";
import type { PostgresBinaries } from "./postgres-binaries.ts";
import { runToEnd } from "./process.ts";

const initWithinMs = 120_000;

export interface ClusterOptions {
  readonly dataDir: string;
  readonly password: string;
  readonly durable: boolean;
  readonly binaries: PostgresBinaries;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal | undefined;
}

/** Makes sure that `dataDir` is a database cluster of this PostgreSQL's version; gives how to run programs on it. */
export async function prepareCluster(options: ClusterOptions): Promise<RunAs> {
  const { dataDir, binaries, signal } = options;
  const version = await readFile(join(dataDir, "PG_VERSION"), "utf8").catch(() => undefined);
  if (version === undefined) {
    await assertEmpty(dataDir);
    return createCluster(options);
  }
  if (version.trim() !== binaries.major)
    throw new EmbeddedError(
      "failed_precondition",
      `the data in ${dataDir} is PostgreSQL ${version.trim()}'s and this is PostgreSQL ${binaries.major}: dump it with the old version, or remove the folder to begin anew`,
    );
  return findRunAs({
    owner: await ownerOf(dataDir),
    program: binaries.postgres,
    dir: dataDir,
    signal,
  });
}

/** PostgreSQL runs only as the owner of its data; root can become anyone, so data made by another user stays usable. */
async function ownerOf(dataDir: string): Promise<Owner> {
  const { uid, gid } = await stat(dataDir);
  const ok = isRoot() ? uid !== 0 : process.getuid === undefined || process.getuid() === uid;
  if (ok) return { uid, gid };
  const cure = isRoot() ? 'give it to another: "chown -R nobody" on that folder' : "start as that user, or as root";
  throw new EmbeddedError("failed_precondition", `PostgreSQL's data in ${dataDir} belongs to user ${uid}; ${cure}`);
}

async function assertEmpty(dataDir: string): Promise<void> {
  const names = await readdir(dataDir).catch(async (cause: unknown) => {
    if (systemCode(cause) === "ENOENT") return [];
    if (systemCode(cause) === "EACCES") await ownerOf(dataDir);
    throw new EmbeddedError("failed_precondition", `PostgreSQL's data folder ${dataDir} cannot be read`, { cause });
  });
  if (names.length > 0)
    throw new EmbeddedError(
      "failed_precondition",
      `${dataDir} is neither empty nor a PostgreSQL data folder; choose another or clear it`,
    );
}

/**
 * The cluster is made beside its place and moved there when it is whole, so that a start which was killed half-way leaves
 * nothing that the next one could take for data. The password goes by a file: a command line can be read by everyone.
 */
async function createCluster(options: ClusterOptions): Promise<RunAs> {
  const { dataDir, binaries, signal } = options;
  options.log("PostgreSQL: creating the database folder, this once");
  const owner = await defaultOwner();
  const staging = `${dataDir}.new`;
  const passwordFile = join(staging, "password");
  try {
    await mkdir(dirname(dataDir), { recursive: true });
    await rm(staging, { recursive: true, force: true });
    await mkdir(staging, { mode: 0o700 });
    await writeFile(passwordFile, `${options.password}\n`, { mode: 0o600 });
    if (isRoot()) for (const path of [passwordFile, staging]) await chown(path, owner.uid, owner.gid);
    const runAs = await findRunAs({ owner, program: binaries.postgres, dir: staging, signal });
    const command = runAs(binaries.initdb, initArguments({ ...options, target: join(staging, "data"), passwordFile }));
    const { code, output } = await runToEnd(command, { timeoutMs: initWithinMs, signal });
    if (code !== 0)
      throw new EmbeddedError(
        "unavailable",
        `initdb failed (code ${code ?? "none"}):\n${output.trim().split("\n").slice(-8).join("\n")}`,
      );
    await rename(join(staging, "data"), dataDir);
    return runAs;
  } catch (cause) {
    if (cause instanceof EmbeddedError) throw cause;
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new EmbeddedError("failed_precondition", `PostgreSQL's data folder cannot be made: ${message}`, { cause });
  } finally {
    // The next attempt clears it as well; a failure here must not hide the one that matters.
    await rm(staging, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** The builtin locale sorts by code point on every machine alike, so that indexes survive a change of the C library. */
function initArguments(options: ClusterOptions & { readonly target: string; readonly passwordFile: string }): string[] {
  return [
    `--pgdata=${options.target}`,
    "--username=postgres",
    "--auth=scram-sha-256",
    `--pwfile=${options.passwordFile}`,
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
    ...(options.durable ? [] : ["--no-sync"]),
  ];
}
