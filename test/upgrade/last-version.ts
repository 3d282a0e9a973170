import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..");
const ARCHIVE_MAX_BYTES = 256 * 1024 * 1024;

/**
 * The version that installations are upgraded from. A release moves both on: the commit, and how many migrations each
 * service had.
 */
const LAST_VERSION = {
  commit: "859a7b5",
  migrations: { policy: 13, registry: 5, audit: 7, metering: 2 },
} as const;

/** What this version's services add to the schema of the last one. */
export function newMigrations(): string[] {
  return Object.entries(LAST_VERSION.migrations).flatMap(([service, count]) => {
    const folder = join(ROOT, "services", service, "migrations");
    return readdirSync(folder)
      .toSorted()
      .slice(count)
      .map((file) => join(folder, file));
  });
}

/**
 * A folder with the services of the last version, on this version's installed dependencies; undefined where the project
 * lies here without its history.
 */
export function unpackLastVersion(): string | undefined {
  let archive: Buffer;
  try {
    const paths = ["services", "packages", "package.json"];
    const options = { cwd: ROOT, maxBuffer: ARCHIVE_MAX_BYTES, stdio: ["ignore", "pipe", "ignore"] as const };
    archive = execFileSync("git", ["archive", "--format=tar", LAST_VERSION.commit, ...paths], {
      ...options,
      stdio: [...options.stdio],
    });
  } catch {
    return undefined;
  }
  const folder = mkdtempSync(join(tmpdir(), "tollgate-last-version-"));
  execFileSync("tar", ["-x", "-C", folder], { input: archive });
  linkDependencies(folder);
  return folder;
}

/** The workspaces' own packages are the folder's, all others those that are installed here. */
function linkDependencies(folder: string): void {
  const [here, there] = [join(ROOT, "node_modules"), join(folder, "node_modules")];
  mkdirSync(join(there, "@tollgate"), { recursive: true });
  for (const name of readdirSync(here)) if (name !== "@tollgate") symlinkSync(join(here, name), join(there, name));
  for (const name of readdirSync(join(folder, "packages")))
    symlinkSync(join(folder, "packages", name), join(there, "@tollgate", name));
  // Where two workspaces need two versions of a package, npm puts one of them below its workspace.
  for (const kind of ["packages", "services"])
    for (const name of readdirSync(join(folder, kind))) {
      const own = join(ROOT, kind, name, "node_modules");
      for (const each of entriesOf(own)) link(join(own, each), join(folder, kind, name, "node_modules"), each);
    }
}

function link(target: string, folder: string, name: string): void {
  mkdirSync(folder, { recursive: true });
  symlinkSync(target, join(folder, name));
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
