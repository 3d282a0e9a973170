import type { EventPublisher } from "@tollgate/bus";
import { type Caller, type CallFacts, type DecisionFacts, newCallId, type RefusalEvent } from "@tollgate/contracts";
import type { AppError } from "@tollgate/errors";
import type { Log } from "@tollgate/service";

export type Refusal = Omit<RefusalEvent, "v" | "kind" | "id" | "endedAt" | "count">;

/** Writes down that something was not let in. */
export type Refuse = (refusal: Refusal) => void;

/** What is known of a call before it is let in. */
export type AskedFacts = Caller & DecisionFacts & Pick<CallFacts, "group" | "server" | "tool" | "method" | "decision">;

/** A call for which there was no room. */
export function overloadOf(facts: AskedFacts, { message }: AppError): Refusal {
  const { principal, tenant, team, client, group, server, tool, method, decision, address } = facts;
  const of = { group, server, tool, method, decision, ...(address === undefined ? {} : { address }) };
  return { principal, tenant, team, client, ...of, code: "overloaded", reason: message };
}

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
