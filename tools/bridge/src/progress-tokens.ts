import { type Frame, metaOf } from "./frame.ts";
import { isObject } from "./rpc-error.ts";

const finishedMax = 1_024;

/**
 * The progress tokens of requests that are over. A client may fail on progress for a request that it has forgotten, and
 * such progress can still come, on a stream that serves several requests.
 */
export class ProgressTokens {
  readonly #finished = new Set<string>();

  start(request: Frame): void {
    const key = keyOf(metaOf(request.params)["progressToken"]);
    if (key !== undefined) this.#finished.delete(key);
  }

  /** A request that has become a task is answered at once, and its progress goes on (2025-11-25, tasks). */
  finish(request: Frame, answer?: Readonly<Record<string, unknown>>): void {
    const key = keyOf(metaOf(request.params)["progressToken"]);
    const result = answer?.["result"];
    const isTask = isObject(result) && (isObject(result["task"]) || result["resultType"] === "task");
    if (key === undefined || isTask) return;
    this.#finished.add(key);
    const [oldest] = this.#finished;
    if (this.#finished.size > finishedMax && oldest !== undefined) this.#finished.delete(oldest);
  }

  isLate(message: Readonly<Record<string, unknown>>): boolean {
    const { method, params } = message;
    if (method !== "notifications/progress" || !isObject(params)) return false;
    const key = keyOf(params["progressToken"]);
    return key !== undefined && this.#finished.has(key);
  }
}

/** Tokens keep their type: 1 is not "1". */
function keyOf(token: unknown): string | undefined {
  return typeof token === "string" || typeof token === "number" ? JSON.stringify(token) : undefined;
}
