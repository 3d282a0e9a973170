import { type DesiredAudit, followDesiredState, loadDesiredState } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import type { Life, Log } from "@tollgate/service";

/** What the user's file says of the record. */
export interface AuditFile {
  current(): DesiredAudit;
  /** Resolves when the file says something else than `seen`, or `signal` aborts. */
  changed(seen: DesiredAudit, signal: AbortSignal): Promise<void>;
}

/**
 * Reads the file and follows its changes. A file with mistakes is logged with their places, and what was read before goes
 * on. Without a file nothing is exported and all is kept as long as it is by default.
 * @throws {AppError} invalid_argument if the file cannot be read or has mistakes when the service starts
 */
export async function followAuditFile(options: {
  /** Empty: there is none. */
  path: string;
  env: Readonly<Record<string, string | undefined>>;
  life: Life;
  log: Log;
}): Promise<AuditFile> {
  const { path, env, life, log } = options;
  let current = loadDesiredState("{}", { file: path, env: {}, sections: ["audit"] }).audit;
  const waiting = new Set<() => void>();
  if (path !== "") {
    await followDesiredState({
      file: path,
      env,
      sections: ["audit"],
      signal: life.signal,
      apply: async ({ audit }) => {
        current = audit;
        for (const wake of waiting) wake();
      },
      onProblem: (error) => {
        const problem = error instanceof AppError ? error.message : String(error);
        log.error({ problem }, "configuration file not taken; the last good one stays");
      },
    });
  }
  return {
    current: () => current,
    async changed(seen, signal) {
      if (current !== seen || signal.aborted) return;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          waiting.delete(wake);
          signal.removeEventListener("abort", wake);
          resolve();
        };
        waiting.add(wake);
        signal.addEventListener("abort", wake, { once: true });
      });
    },
  };
}
