import { type DesiredState, followDesiredState, type LoadCovered, type Section } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import type { Life, Log } from "@tollgate/service";
import type { RegistryMetrics } from "../metrics.ts";
import type { Entries } from "./entries.ts";
import type { SecretStores } from "./secret-stores.ts";

export const REGISTRY_SECTIONS: readonly Section[] = [
  "plans",
  "tenants",
  "groups",
  "mcp_servers",
  "tools",
  "tool_sets",
  "secrets",
];

/**
 * Applies the file and follows its changes. A file with mistakes is logged with their places, and what was applied
 * before goes on; likewise one that does not go together with what the API has declared, until one of them changes.
 * @throws {AppError} invalid_argument if it has mistakes when the service starts
 */
export async function followDesiredFile(options: {
  path: string;
  env: Readonly<Record<string, string | undefined>>;
  entries: Entries;
  secrets: Pick<SecretStores, "read">;
  metrics: RegistryMetrics;
  life: Life;
  log: Log;
}): Promise<void> {
  const { path, env, entries, secrets, metrics, life, log } = options;
  let lastProblem = "";

  const apply = async (state: DesiredState, load: LoadCovered): Promise<void> => {
    const revision = await entries.takeFile(state, load);
    lastProblem = "";
    metrics.setFileValid(true);
    for (const warning of state.warnings) log.warn({ warning }, "configuration file");
    log.info({ file: path, revision: String(revision), servers: state.servers.length }, "configuration file applied");
  };
  const onProblem = (error: unknown): void => {
    metrics.setFileValid(false);
    const { code, message } = error instanceof AppError ? error : { code: "", message: "" };
    if (code !== "invalid_argument" && code !== "failed_precondition") {
      log.error({ err: error, file: path }, "configuration file could not be applied; trying again");
    } else if (message !== lastProblem) {
      lastProblem = message;
      log.error({ problem: message }, "configuration file not taken; the last good one stays");
    }
  };
  await followDesiredState({
    file: path,
    env,
    sections: REGISTRY_SECTIONS,
    readSecrets: secrets.read,
    signal: life.signal,
    apply,
    onProblem,
  });
}
