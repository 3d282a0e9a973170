import { accessSync, constants, statSync } from "node:fs";
import { join, resolve } from "node:path";

interface Wanted {
  readonly command: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The file that would be started, or undefined: then starting it says what is wrong. */
export function findExecutable({ command, cwd, env }: Wanted): string | undefined {
  const folders = (env["PATH"] ?? "").split(":");
  const files = command.includes("/") ? [resolve(cwd, command)] : folders.map((folder) => join(folder, command));
  return files.find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
