import { accessSync, constants, existsSync, statSync } from "node:fs";
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
export function requireProgram(runtime: Runtime, env: Wanted["env"]): string {
  const found = findExecutable({ command: runtime, cwd: "/", env });
  if (found !== undefined) return found;
  throw new AppError("unavailable", `${runtime} is not there; ${installHint(runtime)}`);
}

export function installHint(runtime: Runtime): string {
  return `install it with: ${INSTALL_WITH[runtime][process.platform === "darwin" ? "darwin" : "linux"]}`;
}

interface Wanted {
  readonly command: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The file that would be started, or undefined: then starting it says what is wrong. */
export function findExecutable({ command, cwd, env }: Wanted): string | undefined {
  if (command.includes("/")) return [resolve(cwd, command)].find(isExecutable);
  const folders = (env["PATH"] ?? "").split(":").filter(isAbsolute);
  return folders.map((folder) => join(folder, command)).find(isExecutable);
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
