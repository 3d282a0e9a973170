import type { Log } from "@tollgate/service";

const BACKOFF_MIN_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;
/** A process that lived this long was healthy: its end starts the backoff anew. */
const HEALTHY_MS = 30_000;
/** So many ends in a row, none of a healthy process, are no bad luck any more. */
const CRASH_LOOP_COUNT = 5;

/**
 * When a server that is not there is started again. A start that failed: after a backoff that doubles. A process that
 * ended: at once the first time, since it may have been one call's doing and others wait; after the backoff when that
 * one does not live long either.
 */
export interface Restarts {
  /** Why the server is not there, as long as it is not due to be tried again. */
  readonly problem: string | undefined;
  /** What is known of it: that it failed lately, or again and again. */
  readonly state: "unavailable" | "crash-loop" | undefined;
  failed(reason: string): void;
  died(reason: string, livedMs: number): void;
  recovered(): void;
  stop(): void;
}

export function createRestarts(options: {
  start: () => void;
  onUnavailable: (reason: string) => void;
  /** It is in a crash loop from now on; or it is there again, for good where it was in one. */
  onChange: (state: "crash_loop" | "recovered", reason?: string) => void;
  log: Log;
}): Restarts {
  const { start, onUnavailable, onChange, log } = options;
  let failure: { reason: string; until: number } | undefined;
  let recoveredAt: number | undefined;
  let inARow = 0;
  let backoffMs = BACKOFF_MIN_MS;
  let mayRestartAtOnce = true;
  let retry: NodeJS.Timeout | undefined;
  let stopped = false;
  let isLooping = false;
  /** Until one that was in a crash loop has lived for long enough. */
  let proving: NodeJS.Timeout | undefined;

  function recover(): void {
    isLooping = false;
    onChange("recovered");
  }

  function failAgain(): void {
    inARow += 1;
    clearTimeout(proving);
    proving = undefined;
  }

  function forgive(): void {
    backoffMs = BACKOFF_MIN_MS;
    mayRestartAtOnce = true;
    inARow = 0;
  }

  function wait(last: string): void {
    if (stopped) return;
    // Spread, so that the servers of one broken thing do not all come back in step.
    const waitMs = Math.round(backoffMs * (0.75 + Math.random() / 2));
    const next = `next try in ${Math.ceil(waitMs / 1_000)} s`;
    const reason = inARow < CRASH_LOOP_COUNT ? last : `it ended ${inARow} times in a row, last: ${last}; ${next}`;
    failure = { reason, until: Date.now() + waitMs };
    backoffMs = Math.min(backoffMs * 2, BACKOFF_MAX_MS);
    log.warn({ reason, retryMs: waitMs }, "the server is unavailable");
    onUnavailable(reason);
    if (inARow >= CRASH_LOOP_COUNT && !isLooping) {
      isLooping = true;
      onChange("crash_loop", reason);
    }
    clearTimeout(retry);
    retry = setTimeout(start, waitMs);
  }

  return {
    get problem() {
      return failure !== undefined && failure.until > Date.now() ? failure.reason : undefined;
    },
    get state() {
      if (failure === undefined) return undefined;
      return inARow < CRASH_LOOP_COUNT ? "unavailable" : "crash-loop";
    },
    failed(reason) {
      // A crowd of starts that fail together is one failure.
      if (failure !== undefined && failure.until > Date.now()) return;
      if (recoveredAt !== undefined && Date.now() - recoveredAt >= HEALTHY_MS) forgive();
      recoveredAt = undefined;
      failAgain();
      wait(reason);
    },
    died(reason, livedMs) {
      if (livedMs >= HEALTHY_MS) forgive();
      failAgain();
      if (!mayRestartAtOnce) return wait(`the server ${reason}`);
      mayRestartAtOnce = false;
      start();
    },
    recovered() {
      if (isLooping) proving ??= setTimeout(recover, HEALTHY_MS).unref();
      else if (failure !== undefined) recover();
      failure = undefined;
      recoveredAt ??= Date.now();
    },
    stop() {
      stopped = true;
      clearTimeout(retry);
      clearTimeout(proving);
    },
  };
}
