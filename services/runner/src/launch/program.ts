import { accessSync, constants, existsSync, realpathSync, statSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { AppError } from "@tollgate/errors";

/** How a runtime is installed, by platform: with the packages of Debian and Ubuntu, or with Homebrew. */
const INSTALL_WITH = {
  npm: { linux: "apt-get install npm", darwin: "brew install node" },
  python3: { linux: "apt-get install python3 python3-venv", darwin: "brew install python" },
  uv: { linux: "curl -LsSf https://astral.sh/uv/install.sh | sh", darwin: "brew install uv" },
  docker: { linux: "apt-get install docker.io", darwin: "brew install --cask docker" },
} as const;
type Runtime = keyof typeof INSTALL_WITH;

/** @throws {AppError} `unavailable`, with the command that installs it */
export function requireProgram(runtime: Runtime, path: string): string {
  const found = lookUp(runtime, path);
  if (found !== undefined) return found;
  throw new AppError("unavailable", `${runtime} is not there; ${installHint(runtime)}`);
}

export function installHint(runtime: Runtime): string {
  return `install it with: ${INSTALL_WITH[runtime][process.platform === "darwin" ? "darwin" : "linux"]}`;
}

/** The first of that name on PATH that may be executed. */
export function lookUp(name: string, path: string): string | undefined {
  const folders = path.split(":").filter(isAbsolute);
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** The file that a command means, and what that is a link to; none where it is not there. */
export function findProgram(command: string, { cwd, path }: { cwd: string; path: string }): string[] {
  const found = command.includes("/") ? resolve(cwd, command) : lookUp(command, path);
  return found !== undefined && isExecutable(found) ? [found, realpathSync(found)] : [];
}

/** Of what is installed below `prefix`, which may be a user's home: what programs need of it. */
export function installationFolders(prefix: string): string[] {
  return ["bin", "lib", "lib64"].map((name) => join(prefix, name)).filter((folder) => existsSync(folder));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
