import type { Chain } from "@tollgate/evidence";
import type { ClientBase } from "pg";

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
