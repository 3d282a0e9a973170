import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError } from "@tollgate/errors";
import type { LaunchContext, LaunchSpec, Start } from "./command.ts";
import { isEnvironment, pythonOf, startIn } from "./environment.ts";
import { nameOf } from "./installations.ts";
import { runInstaller } from "./installer.ts";
import { installHint, requireProgram } from "./program.ts";

const PIP_REASON = /^ERROR: (.+)$/;
/** Debian has Python without what makes virtual environments. */
const PROBE = `
import json, sys
try:
    import ensurepip, venv
    whole = True
except ImportError:
    whole = False
print(json.dumps({"executable": sys.executable, "version": sys.version, "whole": whole}))
`;

interface Python {
  /** The interpreter itself, whatever chooses between several of them. */
  readonly executable: string;
  readonly version: string;
  readonly whole: boolean;
}

/**
 * A script, or `-m` and a module, on the Python of a virtual environment that has what the requirements file names. One
 * environment serves all processes with the same requirements and the same Python.
 */
export async function pythonStart(spec: LaunchSpec, context: LaunchContext): Promise<Start> {
  const { requirements: file } = spec;
  const requirements = file === "" ? "" : await readRequirements(file);
  const python = await probe(context);
  const dir = await context.installations(nameOf("python", [python.executable, python.version, file, requirements]), {
    isWhole: isEnvironment,
    make: async (part) => {
      const { installerEnv: env, signal } = context;
      const pip = file === "" ? ["--without-pip"] : [];
      const venv = [python.executable, "-m", "venv", ...pip, part] as const;
      await runInstaller("python3 could not make a virtual environment", venv, { env, cwd: part, signal });
      if (file === "") return;
      // Relative paths in the file start at its folder.
      const options = { env, cwd: dirname(file), signal, reason: PIP_REASON };
      const install = ["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "-r", file];
      await runInstaller(`pip could not install ${file}`, [pythonOf(part), ...install], options);
    },
  });
  return startIn(dir, { command: pythonOf(dir), args: [spec.command, ...spec.args] }, context);
}

async function probe({ env, installerEnv, cwd, signal }: LaunchContext): Promise<Python> {
  const program = requireProgram("python3", env);
  const output = await runInstaller("python3 does not run", [program, "-c", PROBE], { env: installerEnv, cwd, signal });
  const python = JSON.parse(output) as Python;
  if (!python.whole) throw new AppError("unavailable", `python3 has no venv; ${installHint("python3")}`);
  return python;
}

async function readRequirements(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new AppError("unavailable", `the requirements file ${file} cannot be read: ${code}`, { cause: error });
  }
}
