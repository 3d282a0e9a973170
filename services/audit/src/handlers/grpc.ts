import type { auditV1 } from "@tollgate/contracts";
import { type Log, type Pool, unary } from "@tollgate/service";
import { encodeCursor } from "../domain/cursor.ts";
import { parseQuery } from "../domain/query.ts";
import { listEvents } from "../store/events.ts";

export function createAuditHandlers(options: { pool: Pool; log: Log }): auditV1.AuditServiceServer {
  const { pool, log } = options;
  return {
    listEvents: unary(log, async (request: auditV1.ListEventsRequest): Promise<auditV1.ListEventsResponse> => {
      const { events, more } = await listEvents(pool, parseQuery(request));
      return {
        events: events.map((each) => each.event),
        nextCursor: more ? encodeCursor(events.at(-1)!.id) : "",
      };
    }),
  };
}
