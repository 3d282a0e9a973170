import type { Chain } from "@tollgate/evidence";
import type { ClientBase } from "pg";
import type { StoredEvent } from "../domain/stored-event.ts";

type Client = Pick<ClientBase, "query">;

/** Lines of 64 KiB at the most. */
const PAGE_ROWS = 500;

/** Events of a chain with numbers after `from`, up to `to`, in their order. */
export async function* readLines(
  client: Client,
  { tenant, kind }: Chain,
  from: number,
  to: number,
): AsyncGenerator<{ number: number; line: string }[], void, undefined> {
  for (let after = from; after < to;) {
    const { rows } = await client.query<{ number: string; event: string }>({
      name: "chain-lines",
      text: `SELECT number, event FROM audit.events
             WHERE tenant = $1 AND kind = $2 AND number > $3 AND number <= $4 ORDER BY number, time, id LIMIT ${PAGE_ROWS}`,
      values: [tenant, kind, after, to],
    });
    if (rows.length === 0) return;
    yield rows.map(({ number, event }) => ({ number: Number(number), line: event }));
    after = Number(rows.at(-1)!.number);
  }
}

export async function findEvent(
  client: Client,
  { tenant, id, timeMs }: { tenant: string; id: string; timeMs: number },
): Promise<(Chain & { number: number; line: string }) | undefined> {
  const { rows } = await client.query<Chain & { number: string; event: string }>(
    `SELECT tenant, kind, number, event FROM audit.events
     WHERE time = to_timestamp($1::float8 / 1000) AND id = $2 AND ($3 = '' OR tenant = $3) LIMIT 1`,
    [timeMs, id, tenant],
  );
  const row = rows[0];
  return row && { tenant: row.tenant, kind: row.kind, number: Number(row.number), line: row.event };
}

/** The same as they are stored, with all columns. */
export async function* readStored(
  client: Client,
  { tenant, kind }: Chain,
  from: number,
  to: number,
): AsyncGenerator<StoredEvent[], void, undefined> {
  let after: { number: number; id: string } | undefined;
  for (;;) {
    const { rows } = await client.query<
      Record<string, unknown> & { number: string; id: string; hash: Buffer; event: string }
    >({
      name: "stored-events",
      // Two of one number, which should not be there, have to come both.
      text: `SELECT number, hash, event, (extract(epoch FROM time) * 1000)::float8 AS time, id, tenant, kind, outcome,
               principal, team, group_id, server, tool, decision, policies, trace, reason
             FROM audit.events
             WHERE tenant = $1 AND kind = $2 AND number >= $3 AND number <= $4 AND (number, id) > ($3, $5::uuid)
             ORDER BY number, id LIMIT ${PAGE_ROWS}`,
      values: [tenant, kind, after?.number ?? from, to, after?.id ?? LAST_ID],
    });
    if (rows.length === 0) return;
    const page = rows.map(({ number, hash, event, ...columns }) => ({
      number: Number(number),
      id: columns.id,
      hash,
      line: event,
      columns,
    }));
    yield page;
    after = page.at(-1)!;
  }
}

/** None is greater. */
const LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff";
const OUTSIDE_MAX = 100;

/** Some of those that are before the beginning of their chain, or behind its end. */
export async function eventsOutside(
  client: Client,
  { tenant, kind }: Chain,
  where: { before: number } | { after: true },
): Promise<{ number: number; id: string }[]> {
  const isBefore = "before" in where;
  const { rows } = await client.query<{ number: string; id: string }>(
    `SELECT number, id FROM audit.events WHERE tenant = $1 AND kind = $2 AND ${
      isBefore ? "number < $3" : "number > (SELECT number FROM audit.chains WHERE tenant = $1 AND kind = $2)"
    } ORDER BY number LIMIT ${OUTSIDE_MAX}`,
    [tenant, kind, ...(isBefore ? [where.before] : [])],
  );
  return rows.map(({ number, id }) => ({ number: Number(number), id }));
}
