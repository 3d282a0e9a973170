import type { EventPublisher } from "@tollgate/bus";
import { newCallId, type RefusalEvent } from "@tollgate/contracts";
import type { Log } from "@tollgate/service";

export type Refusal = Omit<RefusalEvent, "v" | "kind" | "id" | "endedAt" | "count">;

/** Writes down that something was not let in. */
export type Refuse = (refusal: Refusal) => void;

/** A flood of refusals is folded: what finds no place in the queue is counted into the next event that does. */
export function createRefusals({ events, log }: { events: EventPublisher; log: Log }): Refuse {
  let unrecorded = 0;
  return (refusal) => {
    const endedAt = Date.now();
    const count = unrecorded + 1;
    unrecorded = 0;
    events
      .publish({ v: 1, kind: "refusal", id: newCallId(endedAt), endedAt, count, ...refusal })
      .catch((error: unknown) => {
        unrecorded += count;
        log.warn({ err: error, refusals: unrecorded }, "refusals that are not on the stream yet");
      });
  };
}
