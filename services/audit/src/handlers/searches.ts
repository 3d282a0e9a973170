import type { auditV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { Pool } from "@tollgate/service";
import { encodeCursor } from "../domain/cursor.ts";
import { type EventQuery, parseFilter, parseQuery, sparsest, walksOf } from "../domain/query.ts";
import { type FoundPage, searchEvents } from "../store/search.ts";

/** Each is one search after the other, so many of them would hold up people's searches. */
const EXPORTS_MAX = 8;
const BATCH_EVENTS = 500;
const RETRY_AFTER_SECONDS = 10;

/** A page of events; it may be short and yet not the last. */
export function search(pool: Pool, query: EventQuery): Promise<FoundPage> {
  return searchEvents(pool, query, { walks: walksOf(query), choose: sparsest });
}

/** Newest first. */
export async function listEvents(pool: Pool, request: auditV1.ListEventsRequest): Promise<auditV1.ListEventsResponse> {
  const { events, next } = await search(pool, parseQuery(request));
  return { events: events.map(({ event }) => event), nextCursor: next === undefined ? "" : encodeCursor(next) };
}

type Export = (
  request: auditV1.ExportEventsRequest,
  signal: AbortSignal,
) => AsyncGenerator<auditV1.ExportEventsResponse, void, undefined>;

/**
 * Events, oldest first, as fast as they are taken: one short search for each batch, so that nothing is held in the
 * database meanwhile. It ends with what was recorded when it began.
 */
export function createExport(pool: Pool): Export {
  let running = 0;
  return async function* ({ filter, limit }, signal) {
    const parsed = parseFilter(filter);
    if (running >= EXPORTS_MAX)
      throw new AppError("overloaded", "as many exports as may run at a time are running", {
        details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
      });
    running += 1;
    try {
      const toMs = Math.min(parsed.toMs ?? Infinity, Date.now() + 1);
      let left = limit === 0n ? Infinity : Number(limit);
      let after: string | undefined;
      do {
        const query: EventQuery = { ...parsed, toMs, order: "oldest", pageSize: Math.min(BATCH_EVENTS, left) };
        const page = await search(pool, after === undefined ? query : { ...query, after });
        left -= page.events.length;
        after = page.next;
        if (page.events.length > 0) yield { events: page.events.map(({ event }) => event) };
      } while (after !== undefined && left > 0 && !signal.aborted);
    } finally {
      running -= 1;
    }
  };
}
