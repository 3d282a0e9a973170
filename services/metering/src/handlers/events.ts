import type { StreamedEvent } from "@tollgate/bus";
import type { Metrics, Partitions, Pool } from "@tollgate/service";
import { type MeteredCall, toMeteredCall, withoutDuplicates } from "../domain/metered-call.ts";
import { parseRateCards } from "../domain/rate-card.ts";
import { insertCalls } from "../store/calls.ts";
import { readRateCards } from "../store/rate-cards.ts";

/** What prices and stores a batch of the stream. When it throws, the batch comes again, and again, until it does not. */
export function createEventHandler(options: {
  pool: Pool;
  partitions: Partitions;
  metrics: Metrics;
}): (events: readonly StreamedEvent[]) => Promise<void> {
  const { pool, partitions, metrics } = options;
  const metered = metrics.counter("tollgate_metering_calls_metered_total", "Calls stored with their cost");
  const duplicates = metrics.counter(
    "tollgate_metering_calls_duplicate_total",
    "Outcomes of calls that were metered already",
  );
  const seconds = metrics.histogram("tollgate_metering_store_seconds", "Time to price and store one batch");

  return async (events) => {
    const done = seconds.startTimer();
    try {
      // Read for each batch: a new card holds from its time on, not from when a cache hears of it.
      const { cards } = parseRateCards(await readRateCards(pool));
      const calls: MeteredCall[] = [];
      for (const { event, sequence } of events)
        if (event.kind === "call") calls.push(toMeteredCall(event, sequence, cards));
      const once = withoutDuplicates(calls);
      await partitions.ensure(once.map((call) => call.timeMs));
      const count = await insertCalls(pool, once);
      metered.inc(count);
      duplicates.inc(calls.length - count);
      done();
    } catch (error) {
      partitions.forget();
      throw error;
    }
  };
}
