import { existsSync } from "node:fs";
import { readFile, realpath } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { AppError } from "@tollgate/errors";
import type { LaunchContext, Start } from "./command.ts";
import { installationFolders } from "./program.ts";

// A virtual environment of Python, whoever made it.

export const pythonOf = (dir: string): string => join(dir, "bin", "python");

/** Its Python is a link to the one that it was made with, which may have gone. */
export const isEnvironment = (dir: string): boolean => existsSync(pythonOf(dir));

/** What is started in it finds its programs on PATH, and no packages of the user's own. */
export async function startIn(
  dir: string,
  { command, args }: { command: string; args: readonly string[] },
  { env, cwd }: LaunchContext,
): Promise<Start> {
  const [script] = args;
  const isScript = command === pythonOf(dir) && script !== undefined && !script.startsWith("-");
  return {
    command,
    args,
    env: { PATH: `${join(dir, "bin")}:${env.PATH}`, VIRTUAL_ENV: dir, PYTHONUNBUFFERED: "1", PYTHONNOUSERSITE: "1" },
    files: [dir, ...(await baseFolders(dir)), ...(isScript ? [dirname(resolve(cwd, script))] : [])],
  };
}

/** Of the Python that it was made with, whose standard library it uses. */
async function baseFolders(dir: string): Promise<string[]> {
  const config = await readFile(join(dir, "pyvenv.cfg"), "utf8");
  const home = /^home\s*=\s*(.+)$/m.exec(config)?.[1]?.trim();
  if (home === undefined) throw new AppError("unavailable", `the virtual environment ${dir} does not name its Python`);
  // As it is named, since its links lead there, and as it is: uv and Homebrew name a link to a folder with its version.
  return [home, await realpath(home)].flatMap((bin) => installationFolders(dirname(bin)));
}
