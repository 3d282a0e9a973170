import { randomUUID } from "node:crypto";
import { type AuditEvent, parseAuditEvent, timeOfId } from "@tollgate/contracts";
import { DeliverPolicy } from "@nats-io/jetstream";
import { type Batcher, createBatcher } from "./batcher.ts";
import type { Bus } from "./connection.ts";
import { publishAcknowledged } from "./publish.ts";

const BATCH_EVENTS_MAX = 64;
const BATCH_BYTES_MAX = 256 * 1024;
const SUBJECTS_MAX = 10_000;
const SCAN_FETCH_MAX = 1_000;
const SCAN_EXPIRES_MS = 1_000;
/** The stream's clock may be behind that of the gateway that made a call's id. */
const CLOCK_SKEW_MAX_MS = 10_000;

export interface EventPublisher {
  /** Resolves when the event is on AUDIT: only then may its result leave the system (invariant 4). */
  publish(event: AuditEvent): Promise<void>;
}

/** Writes events to AUDIT; those of one tenant and kind that are ready together share a message, one line each. */
export function createEventPublisher(bus: Bus, options: { waitingMax: number; timeoutMs: number }): EventPublisher {
  const batchers = new Map<string, Batcher<string>>();

  function batcherFor(subject: string): Batcher<string> {
    let batcher = batchers.get(subject);
    if (batcher === undefined) {
      if (batchers.size >= SUBJECTS_MAX) for (const [key, each] of batchers) if (each.size === 0) batchers.delete(key);
      batcher = createBatcher({
        name: "events waiting for the stream",
        send: (lines) =>
          publishAcknowledged(bus, {
            subject,
            payload: lines.join("\n"),
            // Of the batch, not of an event: the stream drops a whole message whose id it has seen.
            id: randomUUID(),
            untilMs: Date.now() + options.timeoutMs,
          }),
        itemsMax: BATCH_EVENTS_MAX,
        bytesMax: BATCH_BYTES_MAX,
        inFlightMax: 4,
        waitingMax: options.waitingMax,
      });
      batchers.set(subject, batcher);
    }
    return batcher;
  }

  return {
    publish(event) {
      const line = JSON.stringify(event);
      return batcherFor(bus.subjects.audit(event.tenant, event.kind)).push(line, line.length);
    },
  };
}

/**
 * Which of these calls have an outcome on AUDIT already. Reads the tenant's call events from the oldest of the calls
 * on; used after a crash only, so a read of some seconds of events is the price of not keeping another store.
 */
export async function findOutcomes(bus: Bus, tenant: string, callIds: ReadonlySet<string>): Promise<Set<string>> {
  const found = new Set<string>();
  if (callIds.size === 0) return found;
  const since = Math.min(...[...callIds].map(timeOfId)) - CLOCK_SKEW_MAX_MS;
  const consumer = await bus.js.consumers.get(bus.subjects.streams.audit, {
    filter_subjects: bus.subjects.audit(tenant, "call"),
    deliver_policy: DeliverPolicy.StartTime,
    opt_start_time: new Date(since).toISOString(),
  });
  try {
    while (found.size < callIds.size) {
      const messages = await consumer.fetch({ max_messages: SCAN_FETCH_MAX, expires: SCAN_EXPIRES_MS });
      let pending = 0;
      let received = 0;
      for await (const message of messages) {
        received += 1;
        pending = message.info.pending;
        for (const line of message.string().split("\n")) {
          const event = parseAuditEvent(line);
          if (event.ok && callIds.has(event.value.id)) found.add(event.value.id);
        }
        if (pending === 0) break;
      }
      if (received === 0 || pending === 0) break;
    }
    return found;
  } finally {
    // It would be there for minutes, and after a crash there are many scans.
    consumer.delete().catch((error: unknown) => bus.log.warn({ err: error }, "a scan's consumer stays for a while"));
  }
}
