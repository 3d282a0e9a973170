import { setTimeout as delay } from "node:timers/promises";
import type { DesiredExport } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import type { Log } from "@tollgate/service";
import { openTarget, type Target } from "../clients/target.ts";
import type { Exported } from "../domain/exported.ts";
import { isWanted, partsOf } from "../domain/exports.ts";

const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 30_000;
/** What was refused as it is will hardly be taken a moment later; a person has to look. */
const REFUSED_RETRY_MS = 60_000;
/** Of what is sent at once. */
const PART_BYTES_MAX = 4 * 1024 * 1024;
const PROBLEM_MAX_CHARS = 500;

export interface Sent {
  readonly sent: number;
  /** Events that the receiver has said it will never take. */
  readonly rejected: number;
}

export interface Sender {
  /**
   * Sends what the export wants of these events, in their order, and resolves when the receiver has them, however long
   * that takes.
   * @throws {Error} only when `signal` aborts
   */
  send(events: readonly Exported[], signal: AbortSignal): Promise<Sent>;
  close(): void;
}

/** @param onProblem gets why the receiver does not take events now, or an empty text when it does again */
export function createSender(wanted: DesiredExport, log: Log, onProblem: (problem: string) => void): Sender {
  let target: Target | undefined;

  async function sendPart(part: readonly Exported[], signal: AbortSignal): Promise<number> {
    for (let retryMs = RETRY_MIN_MS; ; retryMs = Math.min(retryMs * 2, RETRY_MAX_MS)) {
      try {
        // Made anew after a failure: its files may be others now, and its connections are not trusted any more.
        target ??= await openTarget(wanted);
        const { rejected, reason } = await target.send(part, signal);
        if (rejected > 0)
          log.error({ export: wanted.id, rejected, reason }, "the receiver will never take these events");
        onProblem(rejected > 0 ? `${rejected} events were rejected for good: ${reason}` : "");
        return rejected;
      } catch (error) {
        target?.close();
        target = undefined;
        signal.throwIfAborted();
        const { message } = error as Error;
        const waitMs = waitAfter(error, retryMs);
        log.warn({ export: wanted.id, problem: message, retryMs: waitMs }, "events could not be sent yet");
        onProblem(message.slice(0, PROBLEM_MAX_CHARS));
        await delay(waitMs, undefined, { signal });
      }
    }
  }

  return {
    async send(events, signal) {
      const chosen = events.filter(({ event }) => isWanted(wanted, event));
      let rejected = 0;
      for (const part of partsOf(chosen, { countMax: wanted.batchMax, bytesMax: PART_BYTES_MAX }))
        rejected += await sendPart(part, signal);
      return { sent: chosen.length - rejected, rejected };
    },
    close: () => target?.close(),
  };
}

/** As long as the receiver asks for, if it does. */
function waitAfter(error: unknown, retryMs: number): number {
  if (!(error instanceof AppError)) return retryMs;
  const asked = error.details["retryAfterMs"];
  if (typeof asked === "number") return Math.max(asked, RETRY_MIN_MS);
  return error.code === "failed_precondition" ? REFUSED_RETRY_MS : retryMs;
}
