import type { StreamPosition } from "@tollgate/bus";
import type { ClientBase } from "pg";
import type { Definition, Known } from "../domain/exports.ts";

type Client = Pick<ClientBase, "query">;

export interface ExportStatus {
  readonly id: string;
  readonly sent: number;
  readonly problem: string;
  readonly lastSentAtMs: number;
}

/** Locked until the transaction ends: replicas that take the file at the same time do so one after the other. */
export async function readDefinitions(client: Client): Promise<Known[]> {
  await client.query("LOCK TABLE audit.exports IN SHARE ROW EXCLUSIVE MODE");
  const { rows } = await client.query<{ id: string; definition: Definition }>(
    "SELECT id, definition FROM audit.exports",
  );
  return rows;
}

export async function writeDefinitions(client: Client, wanted: readonly Known[]): Promise<void> {
  await client.query("DELETE FROM audit.exports WHERE id <> ALL ($1)", [wanted.map(({ id }) => id)]);
  for (const { id, definition } of wanted) {
    await client.query(
      `INSERT INTO audit.exports (id, definition) VALUES ($1, $2)
       ON CONFLICT (id) DO UPDATE SET definition = EXCLUDED.definition`,
      [id, JSON.stringify(definition)],
    );
  }
}

export async function listExports(client: Client): Promise<ExportStatus[]> {
  const { rows } = await client.query<{ id: string; sent: string; problem: string; last_sent_at: Date | null }>(
    "SELECT id, sent, problem, last_sent_at FROM audit.exports",
  );
  return rows.map(({ id, sent, problem, last_sent_at: at }) => ({
    id,
    sent: Number(sent),
    problem,
    lastSentAtMs: at?.getTime() ?? 0,
  }));
}

/** What was acknowledged last; undefined where nothing was. */
export async function readAcknowledged(client: Client, id: string): Promise<StreamPosition | undefined> {
  const { rows } = await client.query<{ stream: string; sequence: string }>(
    "SELECT stream, sequence FROM audit.exports WHERE id = $1 AND stream IS NOT NULL",
    [id],
  );
  return rows[0] && { stream: rows[0].stream, sequence: Number(rows[0].sequence) };
}

export async function addSent(
  client: Client,
  { id, sent, rejected, position }: { id: string; sent: number; rejected: number; position: StreamPosition },
): Promise<void> {
  await client.query({
    name: "add-sent",
    text: `UPDATE audit.exports SET sent = sent + $2, rejected = rejected + $3, stream = $4, sequence = $5,
             last_sent_at = CASE WHEN $2::bigint > 0 THEN now() ELSE last_sent_at END
           WHERE id = $1`,
    values: [id, sent, rejected, position.stream, position.sequence],
  });
}

export async function writeProblem(client: Client, id: string, problem: string): Promise<void> {
  await client.query("UPDATE audit.exports SET problem = $2 WHERE id = $1 AND problem <> $2", [id, problem]);
}
