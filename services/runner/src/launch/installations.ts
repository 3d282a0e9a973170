import { createHash } from "node:crypto";
import { mkdtemp, readdir, readlink, realpath, rm, stat, symlink } from "node:fs/promises";
import { basename, join } from "node:path";

/** Longer than any installation takes: what is older and nobody's was left by a runner that was killed. */
const LEFTOVER_AGE_MS = 3_600_000;

/**
 * The folder that holds what `name` stands for, made by `make` unless it is there. What `make` throws is thrown to all
 * that wait for it.
 */
export type Installations = (
  name: string,
  options: {
    /** Fills the folder, which is empty and stays where it is. */
    readonly make: (dir: string) => Promise<void>;
    /** Whether what was made once is of use still. */
    readonly isWhole: (dir: string) => boolean | Promise<boolean>;
  },
) => Promise<string>;

/**
 * What servers need is installed once, however many processes and runners of a machine want it. Each attempt has a folder
 * of its own, and the link `name` points at the first that was finished: a virtual environment cannot be moved, since its
 * programs name their own place, and a lock would outlive who holds it.
 */
export function openInstallations(root: string): Installations {
  const underway = new Map<string, Promise<string>>();
  let swept: Promise<void> | undefined;

  return async (name, options) => {
    const link = join(root, name);
    const found = await realpath(link).catch(() => undefined);
    if (found !== undefined && (await options.isWhole(found))) return found;
    // Nothing depends on it.
    swept ??= removeLeftovers(root).catch(() => undefined);
    const running = underway.get(name) ?? swept.then(() => install(link, options)).finally(() => underway.delete(name));
    underway.set(name, running);
    return running;
  };
}

async function install(link: string, { make, isWhole }: Parameters<Installations>[1]): Promise<string> {
  const dir = await mkdtemp(`${link}.`);
  try {
    await make(dir);
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
  const linked = await symlink(basename(dir), link).then(
    () => true,
    () => false,
  );
  if (linked) return dir;
  const other = await realpath(link).catch(() => undefined);
  if (other !== undefined && (await isWhole(other))) {
    // Another runner was faster; its copy is as good.
    await rm(dir, { recursive: true, force: true });
    return other;
  }
  await rm(link, { recursive: true, force: true });
  await symlink(basename(dir), link);
  return dir;
}

/** A name for what these texts decide. */
export function nameOf(kind: string, parts: readonly string[]): string {
  return `${kind}-${createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 24)}`;
}

/** Folders that no link points at, old enough to be nobody's work. */
async function removeLeftovers(root: string): Promise<void> {
  const entries = await readdir(root, { withFileTypes: true });
  const links = entries.filter((entry) => entry.isSymbolicLink());
  const targets = new Set(await Promise.all(links.map(({ name }) => readlink(join(root, name)))));
  const before = Date.now() - LEFTOVER_AGE_MS;
  for (const entry of entries) {
    const dir = join(root, entry.name);
    if (!entry.isDirectory() || targets.has(entry.name)) continue;
    const found = await stat(dir).catch(() => undefined);
    if (found !== undefined && found.mtimeMs < before) await rm(dir, { recursive: true, force: true });
  }
}
