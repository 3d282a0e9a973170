import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseEnv } from "node:util";
import { type DesiredState, loadDesiredState } from "@tollgate/desired-state";
import type { StateDir } from "./state-dir.ts";
import { readText } from "./entry-file.ts";

/** What stands in for variables and secrets that only services have. */
const UNKNOWN = "unknown";

export interface ConfigurationFile {
  /** Absolute: relative paths in it start at its folder. */
  readonly name: string;
  readonly text: string;
}

/** @param file where it is said, `-` the standard input; else the one that the installation of this folder runs with */
export function readConfiguration(
  file: string | undefined,
  { here, root, state }: { here: string; root: string; state: StateDir },
): ConfigurationFile {
  const name = file ?? runningFile(state) ?? resolve(root, "tollgate.yaml");
  return { name: resolve(here, name), text: readText(name, here) };
}

/** `npm start` writes down for its services which one it is. */
function runningFile(state: StateDir): string | undefined {
  const env = resolve(state.envDir, "registry.env");
  if (!existsSync(env)) return undefined;
  const file = parseEnv(readFileSync(env, "utf8"))["TOLLGATE_CONFIG_FILE"];
  return file !== undefined && existsSync(file) ? file : undefined;
}

/**
 * What the file says, without what only the services know: variables and secrets have some value.
 * @throws {AppError} invalid_argument with every mistake and its place
 */
export function checkConfiguration({ name, text }: ConfigurationFile): DesiredState {
  const env = new Proxy<Record<string, string>>({}, { get: (_none, key) => standIn(String(key)) });
  const readSecret = () => ({ ok: true, value: UNKNOWN }) as const;
  return loadDesiredState(text, { file: name, env, readSecret });
}

/** The installation's own are secrets of a length that is checked, and a folder. */
function standIn(variable: string): string {
  if (variable.endsWith("_DIR")) return "/unknown";
  if (variable === "TOLLGATE_PUBLIC_URL") return "";
  return `${UNKNOWN}-${variable}-0123456789`;
}
