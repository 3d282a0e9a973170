import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseEnv } from "node:util";
import { type DesiredState, documentsBeside, loadDesiredState } from "@tollgate/desired-state";
import { readText } from "./entry-file.ts";
import type { StateDir } from "./state-dir.ts";

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
 * What the file says, as far as it can be said without the services' variables and secrets: something stands in for them.
 * Undefined where that is not enough.
 * @throws {AppError} invalid_argument with every mistake and its place
 */
export function checkConfiguration({ name: file, text }: ConfigurationFile): DesiredState | undefined {
  // The form of all sections, but for what a placeholder stands in.
  loadDesiredState(text, { file, env: {}, sections: [] });
  const env = new Proxy<Record<string, string>>({}, { get: (_none, key) => standIn(String(key)) });
  const readSecret = () => ({ ok: true, value: UNKNOWN }) as const;
  const readServerSecret = () => ({ ok: false, reason: "is not known here", withheld: true }) as const;
  try {
    return loadDesiredState(text, { file, env, readSecret, readServerSecret, readDocument: documentsBeside(file) });
  } catch (error) {
    if (!text.includes("${")) throw error;
    return undefined;
  }
}

/** The installation's own are secrets of a length that is checked, and a folder. */
function standIn(variable: string): string {
  if (variable.endsWith("_DIR")) return "/unknown";
  if (variable === "TOLLGATE_PUBLIC_URL") return "";
  if (/URL|ENDPOINT/.test(variable)) return "https://unknown.invalid";
  return `${UNKNOWN}-${variable}-0123456789`;
}
