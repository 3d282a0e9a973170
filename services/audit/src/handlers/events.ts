import type { StreamedEvent } from "@tollgate/bus";
import type { Metrics, Partitions, Pool } from "@tollgate/service";
import { toRecord, withoutDuplicates } from "../domain/record.ts";
import { insertEvents } from "../store/events.ts";

/** What stores a batch of the stream. When it throws, the batch comes again, and again, until it does not. */
export function createEventHandler(options: {
  pool: Pool;
  partitions: Partitions;
  metrics: Metrics;
}): (events: readonly StreamedEvent[]) => Promise<void> {
  const { pool, partitions, metrics } = options;
  const stored = metrics.counter("tollgate_audit_events_stored_total", "Events stored");
  const duplicates = metrics.counter("tollgate_audit_events_duplicate_total", "Events that were stored already");
  const seconds = metrics.histogram("tollgate_audit_store_seconds", "Time to store one batch");

  return async (events) => {
    const done = seconds.startTimer();
    const records = withoutDuplicates(events.map(toRecord));
    try {
      await partitions.ensure(records.map((record) => record.timeMs));
      const count = await insertEvents(pool, records);
      stored.inc(count);
      duplicates.inc(events.length - count);
      done();
    } catch (error) {
      partitions.forget();
      throw error;
    }
  };
}
