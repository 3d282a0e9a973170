import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppError } from "@tollgate/errors";
import type { LaunchContext, LaunchSpec, Start } from "./command.ts";
import { runInstaller } from "./installer.ts";
import { requireProgram } from "./program.ts";

/** npm writes warnings first and a log's place last; what went wrong stands between, in lines of several words. */
const NPM_REASON = /^npm (?:error|ERR!) (\S+ .+)$/;

interface PackageScript {
  readonly script: string;
  /** The node_modules folder, in which what the package depends on lies too. */
  readonly modules: string;
}

/** The package's own script, without npx; installed below the runner's state unless it came with Tollgate itself. */
export async function npxStart({ command, args }: LaunchSpec, context: LaunchContext): Promise<Start> {
  const { name, version } = splitPackageSpec(command);
  const { script, modules } = (await findPackage(name, version)) ?? (await installPackage(command, name, context));
  return { command: process.execPath, args: [script, ...args], files: [modules] };
}

/** `name`, `name@version`, `@scope/name`, `@scope/name@version`. */
function splitPackageSpec(packageSpec: string): { name: string; version: string | undefined } {
  const at = packageSpec.indexOf("@", 1);
  if (at < 0) return { name: packageSpec, version: undefined };
  return { name: packageSpec.slice(0, at), version: packageSpec.slice(at + 1) };
}

/** A package that came with Tollgate itself. */
async function findPackage(name: string, version: string | undefined): Promise<PackageScript | undefined> {
  for (let dir = import.meta.dirname; ; dir = dirname(dir)) {
    const modules = join(dir, "node_modules");
    const script = await binOf(join(modules, name), name, version);
    if (script !== undefined) return { script, modules };
    if (dir === dirname(dir)) return undefined;
  }
}

async function installPackage(packageSpec: string, name: string, context: LaunchContext): Promise<PackageScript> {
  const { env, installerEnv, installations, signal } = context;
  const dir = await installations(packageSpec.replaceAll("/", "+"), {
    isWhole: async (found) => (await readManifest(join(found, "node_modules", name))) !== undefined,
    make: async (part) => {
      const npm = requireProgram("npm", env);
      const options = { env: installerEnv, cwd: part, signal, reason: NPM_REASON };
      // Whatever the user has set: what goes wrong is told in npm's words.
      const args = ["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", part, packageSpec];
      await runInstaller(`npm could not install ${packageSpec}`, [npm, ...args], options);
    },
  });
  const modules = join(dir, "node_modules");
  const script = await binOf(join(modules, name), name, undefined);
  if (script !== undefined) return { script, modules };
  throw new AppError("unavailable", `the package ${packageSpec} has no command to start`);
}

async function binOf(packageDir: string, name: string, version: string | undefined): Promise<string | undefined> {
  const manifest = await readManifest(packageDir);
  if (manifest === undefined) return undefined;
  if (version !== undefined && version !== "latest" && manifest.version !== version) return undefined;
  const bins = typeof manifest.bin === "string" ? { [name]: manifest.bin } : (manifest.bin ?? {});
  const script = bins[name.slice(name.lastIndexOf("/") + 1)] ?? Object.values(bins)[0];
  return script === undefined ? undefined : join(packageDir, script);
}

interface Manifest {
  readonly version?: string;
  readonly bin?: string | Readonly<Record<string, string>>;
}

async function readManifest(packageDir: string): Promise<Manifest | undefined> {
  try {
    return JSON.parse(await readFile(join(packageDir, "package.json"), "utf8")) as Manifest;
  } catch {
    return undefined;
  }
}
