import { readFileSync } from "node:fs";
import {
  DEFAULT_ALLOW_POLICY,
  type DesiredState,
  documentsBeside,
  loadDesiredState,
  secretsFrom,
} from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import type { Secrets } from "./secrets.ts";

/**
 * Reads the configuration before anything is started, so that its mistakes are the first thing that is said. Services
 * read it again, and follow it.
 * @throws {AppError} `invalid_argument` with every mistake and its place
 */
export function readConfigFile(options: {
  file: string;
  env: Readonly<Record<string, string | undefined>>;
  secrets: Secrets;
  filesDir: string;
}): DesiredState {
  const { file, secrets, filesDir } = options;
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new AppError(
      "invalid_argument",
      `the configuration file ${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`,
    );
  }
  const own = { TOLLGATE_TOKEN: secrets.token, TOLLGATE_ADMIN_TOKEN: secrets.adminToken, TOLLGATE_FILES_DIR: filesDir };
  const readSecret = secretsFrom(options.env);
  // Those of servers may be in another store, which the registry asks.
  const readServerSecret = (name: string) => {
    const found = readSecret(name);
    return found.ok ? found : { ...found, withheld: true as const };
  };
  const readDocument = documentsBeside(file);
  return loadDesiredState(text, { file, env: { ...options.env, ...own }, readSecret, readServerSecret, readDocument });
}

/** Whether the file says nothing of policies, so that the installation's own tokens, and only they, may use everything. */
export function allowsOwnTokensOnly(desired: DesiredState): boolean {
  return desired.policies.some(({ name }) => name === DEFAULT_ALLOW_POLICY);
}
