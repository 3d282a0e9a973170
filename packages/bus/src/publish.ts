import { AppError } from "@tollgate/errors";
import type { Bus } from "./connection.ts";

const ATTEMPT_TIMEOUT_MS = 2_000;
const PAUSE_MS = 100;
/** JetStream: "maximum messages/bytes exceeded" on a stream that discards new messages. */
const STREAM_FULL = /maximum (messages|bytes)|resource limits|insufficient/i;

/** Of the client and of the server. */
const TOO_LARGE = /max_payload|message size exceeds/i;

/**
 * Puts one message on a stream and waits for the acknowledgement. A lost acknowledgement is asked for again under the
 * same message id, which the stream takes once only, until `untilMs` (Unix milliseconds).
 * @throws {AppError} `overloaded` when the stream is full and `payload_too_large` (nothing was stored);
 *   `outcome_unknown` when no answer came
 */
export async function publishAcknowledged(
  bus: Bus,
  message: { subject: string; payload: string; id: string; untilMs: number },
): Promise<void> {
  for (;;) {
    const timeoutMs = Math.max(50, Math.min(ATTEMPT_TIMEOUT_MS, message.untilMs - Date.now()));
    try {
      return await bus.acknowledgements.publish({ ...message, timeoutMs });
    } catch (error) {
      const text = (error as Error).message;
      if (STREAM_FULL.test(text))
        throw new AppError("overloaded", "the stream is full; try again later", { cause: error });
      if (TOO_LARGE.test(text))
        throw new AppError("payload_too_large", "larger than a message may be", { cause: error });
      if (Date.now() >= message.untilMs || bus.connection.isClosed()) {
        throw new AppError("outcome_unknown", "the stream did not acknowledge in time", { cause: error });
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
