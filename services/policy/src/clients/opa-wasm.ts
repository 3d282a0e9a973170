import { Worker } from "node:worker_threads";
import { AppError } from "@tollgate/errors";
import type { OpaAnswer } from "../domain/opa.ts";
import { NoAnswer, type OpaEngine } from "./opa-engine.ts";
import type { WorkerData, WorkerMessage } from "./opa-wasm-worker.ts";
import { createPlaces } from "./places.ts";

const WAITING_MAX = 1_000;
const START_TIMEOUT_MS = 5_000;
const PAGE_BYTES = 64 * 1024;
/** Of its memory, beside what the module itself brings, of which a policy's data are a part. */
const MEMORY_SPARE_PAGES = 16;
const MEMORY_SPARE_MAX_PAGES = 512;
/** For its answers, which are read whole: no longer than its memory. */
const HEAP_MAX_MB = 256;

/**
 * A policy that `opa build -t wasm` has made, in a thread of its own with bounded memory. One input at a time; what is not
 * done in time is ended with the thread, and the next input gets a new one.
 * @throws {Error} that says why it cannot be used
 */
export async function openOpaWasm(options: { bytes: Uint8Array<ArrayBuffer>; entrypoint: string }): Promise<OpaEngine> {
  const { bytes, entrypoint } = options;
  const own = Math.ceil(bytes.byteLength / PAGE_BYTES);
  const memory = { initial: own + MEMORY_SPARE_PAGES, maximum: own + MEMORY_SPARE_MAX_PAGES };
  const data: WorkerData = { bytes, entrypoint, memory };
  const places = createPlaces({ atOnceMax: 1, waitingMax: WAITING_MAX });
  const closing = new AbortController();
  let ready = start(data, closing.signal);
  await ready;

  /** What the last one left in its memory, or would still do, is not known. */
  function replace(worker: Worker | undefined): void {
    void worker?.terminate();
    ready = start(data, closing.signal);
    // Told to whoever asks next.
    ready.catch(() => undefined);
  }

  async function evaluate(input: string, signal: AbortSignal): Promise<OpaAnswer> {
    const either = AbortSignal.any([signal, closing.signal]);
    let worker: Worker | undefined;
    try {
      worker = await unlessAborted(either, ready);
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      worker.postMessage(input);
      const message = await nextMessage(worker, either);
      if (message.kind === "answer") return message.answer;
      throw new Error(message.kind === "failed" ? message.reason : `said ${message.kind}`);
    } catch (error) {
      // One that is still starting goes on.
      if (worker !== undefined || !either.aborted) replace(worker);
      throw error;
    }
  }

  return {
    async ask(input, signal) {
      try {
        return await places.hold(signal, () => evaluate(input, signal));
      } catch (error) {
        const what = signal.aborted ? "was not done in time" : "cannot be evaluated";
        const isFull = error instanceof AppError && error.code === "overloaded";
        throw new NoAnswer(isFull ? "too many wait for OPA's policy" : `OPA's policy ${what}`, { cause: error });
      }
    },
    close() {
      closing.abort(new Error("OPA's policy was replaced"));
      void ready.then((worker) => worker.terminate()).catch(() => undefined);
    },
  };
}

async function start(workerData: WorkerData, signal: AbortSignal): Promise<Worker> {
  const worker = new Worker(new URL("opa-wasm-worker.ts", import.meta.url), {
    workerData,
    // What a policy prints is nobody's: it would stand among the log's lines.
    stdout: true,
    stderr: true,
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MAX_MB },
  });
  worker.unref();
  // Its exit, which follows, says it to whoever waits.
  worker.on("error", () => undefined);
  try {
    const message = await nextMessage(worker, AbortSignal.any([signal, AbortSignal.timeout(START_TIMEOUT_MS)]));
    if (message.kind === "ready") return worker;
    throw new Error(message.kind === "unusable" ? message.reason : `said ${message.kind}`);
  } catch (error) {
    void worker.terminate();
    throw error;
  }
}

/** @throws {Error} when the thread ends instead, and when the signal comes first */
function nextMessage(worker: Worker, signal: AbortSignal): Promise<WorkerMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<WorkerMessage>();
  const onExit = () => reject(new Error("its thread has ended"));
  // One that ended between two inputs says nothing any more.
  if (worker.threadId === -1) onExit();
  worker.once("message", resolve).once("exit", onExit);
  return unlessAborted(signal, promise).finally(() => worker.off("message", resolve).off("exit", onExit));
}

async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const giveUp = () => reject(signal.reason as Error);
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}
