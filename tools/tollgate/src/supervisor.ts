import { setTimeout as delay } from "node:timers/promises";

const CRASHES_MAX = 5;
const CRASHES_WITHIN_MS = 60_000;
const BACKOFF_MIN_MS = 100;

/** A process that was started and is ready. */
export interface Running {
  readonly pid: number;
  /** How it ended, for example "was ended by SIGKILL". Resolves when it ends, whoever ended it. */
  readonly exited: Promise<string>;
  /** Settles when the process is gone. */
  stop(): Promise<void>;
}

export interface Supervised {
  /** Of the process that runs, or the last one that did. */
  readonly pid: number;
  /** Ends it for good, also while it is being started again. */
  stop(): Promise<void>;
}

/**
 * Keeps one process running: starting → running → (ended → waiting → starting)* → stopped. Each end or failed start that
 * was not asked for is a crash; after `CRASHES_MAX` within a minute it is given up, which happens once.
 * @throws what the first start throws
 */
export async function supervise(options: {
  readonly name: string;
  readonly start: (signal: AbortSignal) => Promise<Running>;
  readonly signal: AbortSignal;
  readonly onLine: (line: string) => void;
  readonly onGivenUp: (reason: string) => void;
}): Promise<Supervised> {
  const { name, onLine } = options;
  const stopping = new AbortController();
  const signal = AbortSignal.any([stopping.signal, options.signal]);
  let crashes: number[] = [];
  let running = await options.start(signal);
  const watching = keepRunning();

  async function keepRunning(): Promise<void> {
    for (let how = await running.exited; !signal.aborted; how = await startAgain(how)) {
      crashes = [...crashes.filter((at) => at > Date.now() - CRASHES_WITHIN_MS), Date.now()];
      if (crashes.length < CRASHES_MAX) continue;
      options.onGivenUp(`${name} ended ${CRASHES_MAX} times within a minute; the last time it ${how}`);
      return;
    }
  }

  async function startAgain(how: string): Promise<string> {
    onLine(`${name} ${how}; starting it again`);
    try {
      await delay(BACKOFF_MIN_MS * 2 ** (crashes.length - 1), undefined, { signal });
      running = await options.start(signal);
      if (signal.aborted) await running.stop();
      else onLine(`${name} is back`);
      return await running.exited;
    } catch (error) {
      return `could not be started: ${(error as Error).message}`;
    }
  }

  return {
    get pid() {
      return running.pid;
    },
    async stop() {
      stopping.abort();
      await running.stop();
      // And what a start that was under way has brought up after all.
      await watching;
    },
  };
}
