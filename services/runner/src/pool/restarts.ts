import type { Log } from "@tollgate/service";

const BACKOFF_MIN_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;
/** A process that lived this long was healthy: its end starts the backoff anew. */
const HEALTHY_MS = 30_000;

/**
 * When a server that is not there is started again. A start that failed: after a backoff that doubles. A process that
 * ended: at once the first time, since it may have been one call's doing and others wait; after the backoff when that
 * one does not live long either.
 */
export interface Restarts {
  /** Why the server is not there, as long as it is not due to be tried again. */
  readonly problem: string | undefined;
  failed(reason: string): void;
  died(reason: string, livedMs: number): void;
  recovered(): void;
  stop(): void;
}

export function createRestarts(options: {
  start: () => void;
  onUnavailable: (reason: string) => void;
  log: Log;
}): Restarts {
  const { start, onUnavailable, log } = options;
  let failure: { reason: string; until: number } | undefined;
  let backoffMs = BACKOFF_MIN_MS;
  let mayRestartAtOnce = true;
  let retry: NodeJS.Timeout | undefined;
  let stopped = false;

  function failed(reason: string): void {
    if (stopped) return;
    // Spread, so that the servers of one broken thing do not all come back in step.
    const waitMs = Math.round(backoffMs * (0.75 + Math.random() / 2));
    failure = { reason, until: Date.now() + waitMs };
    backoffMs = Math.min(backoffMs * 2, BACKOFF_MAX_MS);
    log.warn({ reason, retryMs: waitMs }, "the server is unavailable");
    onUnavailable(reason);
    clearTimeout(retry);
    retry = setTimeout(start, waitMs);
  }

  return {
    get problem() {
      return failure !== undefined && failure.until > Date.now() ? failure.reason : undefined;
    },
    failed,
    died(reason, livedMs) {
      if (livedMs >= HEALTHY_MS) {
        backoffMs = BACKOFF_MIN_MS;
        mayRestartAtOnce = true;
      }
      if (!mayRestartAtOnce) return failed(`the server ${reason}`);
      mayRestartAtOnce = false;
      start();
    },
    recovered() {
      failure = undefined;
    },
    stop() {
      stopped = true;
      clearTimeout(retry);
    },
  };
}
