import { type Pool, withTransaction } from "@tollgate/service";
import type { Report } from "../domain/report.ts";
import type { Tool } from "../domain/tool-definition.ts";
import { lockRevision, type Queryable, setRevision } from "./revision.ts";

/** All tools together have to fit into one gRPC message of 64 MiB, or no gateway would get any. */
const CATALOGUE_TOOLS_MAX_BYTES = 48 * 1024 * 1024;

/** `same`: the report says what was known already, and the revision stays. */
export type Recorded =
  | { readonly kind: "changed" | "same"; readonly revision: bigint }
  | { readonly kind: "unknown_server" | "disabled" | "outdated" }
  | { readonly kind: "too_large"; readonly bytes: number; readonly maxBytes: number };

interface StateRow {
  readonly spec_hash: string;
  readonly enabled: boolean;
  readonly status: string;
  readonly reason: string;
  readonly era: string;
  readonly server_info: string;
}

/** Takes a runner's report in. With several runners of one group the last report wins. */
export async function recordReport(pool: Pool, report: Report): Promise<Recorded> {
  return withTransaction(pool, async (client) => {
    const current = await lockRevision(client);
    const { rows } = await client.query<StateRow>(
      `SELECT server.spec_hash, server.enabled, state.status, state.reason, state.era, state.server_info
       FROM registry.servers AS server JOIN registry.server_states AS state ON state.server_id = server.id
       WHERE server.id = $1`,
      [report.serverId],
    );
    const row = rows[0];
    if (!row) return { kind: "unknown_server" };
    if (row.spec_hash !== report.specHash) return { kind: "outdated" };
    if (!row.enabled) return { kind: "disabled" };

    const next = current + 1n;
    const sameTools = report.status !== "ready" || (await hasTools(client, report.serverId, report.tools));
    if (report.status === "ready" && !sameTools) {
      const bytes = await bytesWith(client, report.serverId, report.tools);
      if (bytes > CATALOGUE_TOOLS_MAX_BYTES) return { kind: "too_large", bytes, maxBytes: CATALOGUE_TOOLS_MAX_BYTES };
      await replaceTools(client, { serverId: report.serverId, tools: report.tools, revision: next });
    }
    const state = stateOf(report, row);
    await client.query(
      `UPDATE registry.server_states SET status = $2, reason = $3, era = $4, server_info = $5, reported_at = now()
       WHERE server_id = $1`,
      [report.serverId, state.status, state.reason, state.era, state.server_info],
    );
    if (sameTools && isSameState(state, row)) return { kind: "same", revision: current };
    await setRevision(client, next);
    return { kind: "changed", revision: next };
  });
}

type State = Pick<StateRow, "status" | "reason" | "era" | "server_info">;

/** An unavailable server keeps what was last known of it. */
function stateOf(report: Report, row: StateRow): State {
  if (report.status === "unavailable") return { ...row, status: "unavailable", reason: report.reason };
  return { status: "ready", reason: "", era: report.era, server_info: report.serverInfo };
}

function isSameState(a: State, b: State): boolean {
  return a.status === b.status && a.reason === b.reason && a.era === b.era && a.server_info === b.server_info;
}

async function hasTools(client: Queryable, serverId: string, tools: readonly Tool[]): Promise<boolean> {
  const { rows } = await client.query<{ hash: string }>(
    "SELECT hash FROM registry.tools WHERE server_id = $1 ORDER BY position",
    [serverId],
  );
  return rows.length === tools.length && rows.every(({ hash }, position) => hash === tools[position]!.hash);
}

async function bytesWith(client: Queryable, serverId: string, tools: readonly Tool[]): Promise<number> {
  const { rows } = await client.query<{ bytes: string }>(
    "SELECT coalesce(sum(octet_length(definition)), 0) AS bytes FROM registry.tools WHERE server_id <> $1",
    [serverId],
  );
  return tools.reduce((sum, { definition }) => sum + Buffer.byteLength(definition), Number(rows[0]!.bytes));
}

async function replaceTools(
  client: Queryable,
  options: { serverId: string; tools: readonly Tool[]; revision: bigint },
): Promise<void> {
  const { serverId, tools, revision } = options;
  await client.query("DELETE FROM registry.tools WHERE server_id = $1", [serverId]);
  await client.query(
    `INSERT INTO registry.tools (server_id, position, name, definition, hash, retry_safe)
     SELECT $1, position, name, definition, hash, retry_safe
     FROM unnest($2::text[], $3::text[], $4::text[], $5::boolean[])
       WITH ORDINALITY AS tool (name, definition, hash, retry_safe, position)`,
    [
      serverId,
      tools.map(({ name }) => name),
      tools.map(({ definition }) => definition),
      tools.map(({ hash }) => hash),
      tools.map(({ retrySafe }) => retrySafe),
    ],
  );
  await client.query("UPDATE registry.server_states SET tools_revision = $2 WHERE server_id = $1", [
    serverId,
    revision,
  ]);
}
