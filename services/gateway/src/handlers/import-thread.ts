import { Worker } from "node:worker_threads";
import { AppError } from "@tollgate/errors";
import type { ImportAnswer, ImportQuestion, ImportShown } from "./import-worker.ts";

const TIMEOUT_MS = 60_000;
const HEAP_MAX_MB = 512;
/** Each has a thread: more would take the processor away from calls. */
const AT_ONCE_MAX = 2;

export type ImportInThread = (question: ImportQuestion) => Promise<ImportShown>;

/** Imports in threads of their own, with bounded time and memory, until the gateway stops. */
export function createImports(stopping: AbortSignal): ImportInThread {
  let running = 0;
  return async (question) => {
    if (running >= AT_ONCE_MAX)
      throw new AppError("overloaded", "other documents are being read; try again", {
        details: { retryAfterSeconds: 5 },
      });
    running += 1;
    try {
      const answer = await runThread(question, stopping);
      if (answer.ok) return answer.imported;
      throw new AppError(answer.code, answer.message, { details: answer.details });
    } finally {
      running -= 1;
    }
  };
}

async function runThread(workerData: ImportQuestion, stopping: AbortSignal): Promise<ImportAnswer> {
  const worker = new Worker(new URL("import-worker.ts", import.meta.url), {
    workerData,
    env: {},
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MAX_MB },
  });
  const { promise, resolve, reject } = Promise.withResolvers<ImportAnswer>();
  const late = setTimeout(
    () => reject(new AppError("invalid_argument", "the document takes too long to read")),
    TIMEOUT_MS,
  );
  const stop = () => reject(new AppError("unavailable", "the gateway stops"));
  stopping.addEventListener("abort", stop, { once: true });
  // An error of a thread, such as that its memory is used up, is followed by its exit.
  worker.once("message", resolve).once("error", () => undefined);
  worker.once("exit", () => reject(new AppError("invalid_argument", "the document takes too much memory to read")));
  try {
    return await promise;
  } finally {
    clearTimeout(late);
    stopping.removeEventListener("abort", stop);
    await worker.terminate();
  }
}
