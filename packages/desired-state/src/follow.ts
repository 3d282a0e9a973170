import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { AppError } from "@tollgate/errors";
import { loadDesiredState, type LoadOptions } from "./load.ts";
import type { DesiredState } from "./state.ts";

const POLL_INTERVAL_MS = 250;
const RETRY_INTERVAL_MS = 2_000;

/**
 * Applies the file now, then again whenever its content changes, until `signal` aborts. The file's text is compared,
 * not its times: editors, mounts and configuration maps replace files in ways that no watcher tells of reliably. A new
 * text counts once it was read twice the same, so that a file half written is not taken.
 * @throws what reading, loading or the first `apply` throws. Later that goes to `onProblem`: once for each text that is
 * wrong, and at each further try of an `apply` that failed; the state applied last goes on.
 */
export async function followDesiredState(
  options: LoadOptions & {
    readonly signal: AbortSignal;
    readonly apply: (state: DesiredState) => Promise<void>;
    readonly onProblem: (error: unknown) => void;
  },
): Promise<void> {
  const text = await read(options.file);
  await options.apply(loadDesiredState(text, options));
  void poll(text, options);
}

async function poll(first: string, options: Parameters<typeof followDesiredState>[0]): Promise<void> {
  const { file, signal, apply, onProblem } = options;
  let settled: string | AppError = first;
  let seen: string | AppError = first;
  for (let pauseMs = POLL_INTERVAL_MS; await pause(pauseMs, signal);) {
    pauseMs = POLL_INTERVAL_MS;
    const current = await read(file).catch((error: unknown) => error as AppError);
    const isStable = sameContent(current, seen);
    seen = current;
    if (!isStable || sameContent(current, settled)) continue;
    try {
      if (typeof current !== "string") throw current;
      await apply(loadDesiredState(current, options));
    } catch (error) {
      if (signal.aborted) return;
      onProblem(error);
      // A wrong file stays wrong until it changes; a database that is away comes back.
      if (!(error instanceof AppError && error.code === "invalid_argument")) {
        pauseMs = RETRY_INTERVAL_MS;
        continue;
      }
    }
    settled = current;
  }
}

function sameContent(one: string | AppError, other: string | AppError): boolean {
  return typeof one === "string" ? one === other : typeof other !== "string" && one.message === other.message;
}

async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
  return !signal.aborted;
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    throw new AppError("invalid_argument", `the configuration file ${file} cannot be read: ${reason}`, {
      cause: error,
    });
  }
}
