import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@tollgate/errors";
import type { LaunchContext, LaunchSpec, Start } from "./command.ts";
import { isEnvironment, pythonOf, startIn } from "./environment.ts";
import { nameOf } from "./installations.ts";
import { runInstaller } from "./installer.ts";
import { requireProgram } from "./program.ts";

const UV_REASON = /^(?:error|×|╰─▶)[:\s]\s*(.+)$/;
/** What decides, beside the lock file, what an environment holds. */
const ALSO_HASHED = ["pyproject.toml", ".python-version"];

/**
 * A script, or one of the project's own commands, in the environment that the project's lock file describes: installed by
 * uv once, then started without it.
 */
export async function uvStart(spec: LaunchSpec, context: LaunchContext): Promise<Start> {
  const { cwd, env, installerEnv, installations, signal } = context;
  const lock = await readIn(cwd, "uv.lock");
  if (lock === undefined) {
    throw new AppError("unavailable", `uv.lock is not in ${cwd}; make it there with: uv lock (or set working_dir)`);
  }
  const others = await Promise.all(ALSO_HASHED.map((file) => readIn(cwd, file)));
  // The environment points at the project's folder, so that it is part of what it is.
  const dir = await installations(nameOf("uv", [cwd, lock, ...others.map((text) => text ?? "")]), {
    isWhole: isEnvironment,
    make: async (part) => {
      const uv = requireProgram("uv", env);
      const options = { env: { ...installerEnv, UV_PROJECT_ENVIRONMENT: part }, cwd, signal, reason: UV_REASON };
      await runInstaller("uv could not install the project", [uv, "sync", "--frozen", "--project", cwd], options);
    },
  });
  const { command, args } = spec;
  const isPython = command.endsWith(".py") || command.startsWith("-");
  const program = isPython ? pythonOf(dir) : join(dir, "bin", command);
  if (!existsSync(program)) throw new AppError("unavailable", `the project in ${cwd} has no command ${command}`);
  const started = await startIn(dir, { command: program, args: isPython ? [command, ...args] : args }, context);
  return { ...started, files: [...started.files, cwd] };
}

async function readIn(dir: string, file: string): Promise<string | undefined> {
  return readFile(join(dir, file), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw new AppError("unavailable", `${join(dir, file)} cannot be read: ${error.code}`, { cause: error });
  });
}
