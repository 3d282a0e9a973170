import type { AuditEvent } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { enqueueEvents, type Pool, withTransaction } from "@tollgate/service";
import type { Item } from "../domain/item.ts";
import type { Findings, Report } from "../domain/report.ts";
import { lockRevision, type Queryable, setRevision } from "./revision.ts";
import type { ToolsReport } from "./tool-reports.ts";

/** The whole catalogue has to fit into one gRPC message of 64 MiB, or no gateway would get any. */
const CATALOGUE_MAX_BYTES = 48 * 1024 * 1024;
/** Of each item beside its definition and its key: the hash, and what the message needs to tell them apart. */
const ITEM_EXTRA_BYTES = 80;

/** `same`: the report says what was known already, and the revision stays. */
export type Recorded =
  | { readonly kind: "changed" | "same"; readonly revision: bigint }
  | { readonly kind: "unknown_server" | "disabled" | "outdated" };

/** What is known of a server beside its items. */
interface State extends Omit<Findings, "items"> {
  readonly status: string;
  readonly reason: string;
}

interface StateRow extends State {
  readonly specHash: string;
  readonly enabled: boolean;
  readonly group: string;
  readonly changes: ToolsReport["policy"]["changes"];
  readonly certification: ToolsReport["policy"]["certification"];
}

/** Compares what a server says of its tools with what is known of them: whether anything differs, and what to record of it. */
export type RecordTools = (
  client: Queryable,
  report: ToolsReport,
) => Promise<{ readonly changed: boolean; readonly events: readonly AuditEvent[] }>;

/**
 * Takes a runner's report in. With several runners of one group the last report wins.
 * @throws {AppError} payload_too_large; nothing of the report is taken then
 */
export async function recordReport(
  pool: Pool,
  report: Report,
  by: { readonly runner: string; readonly nowMs: number; readonly recordTools: RecordTools },
): Promise<Recorded> {
  return withTransaction(pool, async (client) => {
    const current = await lockRevision(client);
    const row = await readState(client, report.serverId);
    if (!row) return { kind: "unknown_server" };
    if (row.specHash !== report.specHash) return { kind: "outdated" };
    if (!row.enabled) return { kind: "disabled" };

    const next = current + 1n;
    const state = stateOf(report, row);
    const sameItems = report.status !== "ready" || (await hasItems(client, report.serverId, report.items));
    const tools = report.status === "ready" ? await toolsIn(client, report, { row, ...by }) : NO_TOOLS;
    const same = sameItems && !tools.changed && isSameState(state, row);
    if (report.status === "ready" && !same) {
      const bytes = bytesOf(report) + (await bytesOfOthers(client, report.serverId));
      if (bytes > CATALOGUE_MAX_BYTES) throw tooLarge(report.serverId, bytes);
      if (!sameItems) await replaceItems(client, report.serverId, report.items);
      await touchItems(client, report.serverId, next);
    }
    await writeState(client, report.serverId, state);
    if (same) return { kind: "same", revision: current };
    await setRevision(client, next);
    await enqueueEvents(client, "registry", tools.events);
    return { kind: "changed", revision: next };
  });
}

const NO_TOOLS = { changed: false, events: [] };

function toolsIn(
  client: Queryable,
  { serverId, items }: Report & Findings,
  { row, recordTools, ...by }: { row: StateRow; runner: string; nowMs: number; recordTools: RecordTools },
): ReturnType<RecordTools> {
  const { group, changes, certification } = row;
  const tools = items.filter(({ kind }) => kind === "tool");
  return recordTools(client, { serverId, group, tools, policy: { changes, certification }, ...by });
}

/** Readers load its items anew. */
export async function touchItems(client: Queryable, serverId: string, revision: bigint): Promise<void> {
  await client.query("UPDATE registry.server_states SET items_revision = $2 WHERE server_id = $1", [
    serverId,
    revision,
  ]);
}

async function readState(client: Queryable, serverId: string): Promise<StateRow | undefined> {
  const { rows } = await client.query<StateRow>(
    `SELECT server.spec_hash AS "specHash", server.enabled, group_id AS "group", tool_changes AS changes, certification, status, reason, era, protocol,
       server_info AS "serverInfo", capabilities, instructions, isolation, limits_by AS "limitsBy"
     FROM registry.servers AS server JOIN registry.server_states AS state ON state.server_id = server.id
     WHERE server.id = $1`,
    [serverId],
  );
  return rows[0];
}

async function writeState(client: Queryable, serverId: string, state: State): Promise<void> {
  const { status, reason, era, protocol, serverInfo, capabilities, instructions, isolation, limitsBy } = state;
  await client.query(
    `UPDATE registry.server_states SET status = $2, reason = $3, era = $4, protocol = $5, server_info = $6,
       capabilities = $7, instructions = $8, isolation = $9, limits_by = $10, reported_at = now()
     WHERE server_id = $1`,
    [serverId, status, reason, era, protocol, serverInfo, capabilities, instructions, isolation, limitsBy],
  );
}

/** An unavailable server keeps what was last known of it. */
function stateOf(report: Report, row: State): State {
  if (report.status === "unavailable") return { ...row, status: "unavailable", reason: report.reason };
  return { ...report, reason: "" };
}

function isSameState(a: State, b: State): boolean {
  return (
    a.status === b.status &&
    a.reason === b.reason &&
    a.era === b.era &&
    a.protocol === b.protocol &&
    a.serverInfo === b.serverInfo &&
    a.capabilities === b.capabilities &&
    a.instructions === b.instructions &&
    a.isolation === b.isolation &&
    a.limitsBy === b.limitsBy
  );
}

async function hasItems(client: Queryable, serverId: string, items: readonly Item[]): Promise<boolean> {
  const { rows } = await client.query<{ kind: string; hash: string }>(
    "SELECT kind, hash FROM registry.items WHERE server_id = $1 ORDER BY position",
    [serverId],
  );
  return (
    rows.length === items.length &&
    rows.every(({ kind, hash }, position) => kind === items[position]!.kind && hash === items[position]!.hash)
  );
}

function bytesOf({ items, serverInfo, capabilities, instructions }: Findings): number {
  const texts = [serverInfo, capabilities, instructions, ...items.flatMap(({ key, definition }) => [key, definition])];
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), items.length * ITEM_EXTRA_BYTES);
}

function tooLarge(serverId: string, bytes: number): AppError {
  const what = `with what it offers the catalogue would have ${bytes} bytes; at most ${CATALOGUE_MAX_BYTES} fit`;
  return new AppError("payload_too_large", `server "${serverId}": ${what}`);
}

async function bytesOfOthers(client: Queryable, serverId: string): Promise<number> {
  const { rows } = await client.query<{ bytes: string }>(
    `SELECT
       (SELECT coalesce(sum(octet_length(key) + $2::integer +
          greatest(octet_length(item.definition), octet_length(given.definition))), 0)
        FROM registry.items AS item
        LEFT JOIN registry.tools AS tool ON kind = 'tool' AND tool.server_id = item.server_id AND tool.tool = key
        LEFT JOIN registry.tool_versions AS given
          ON given.server_id = tool.server_id AND given.tool = tool.tool AND version = served
        WHERE item.server_id <> $1) +
       (SELECT coalesce(sum(octet_length(server_info) + octet_length(capabilities) + octet_length(instructions)), 0)
        FROM registry.server_states WHERE server_id <> $1) AS bytes`,
    [serverId, ITEM_EXTRA_BYTES],
  );
  return Number(rows[0]!.bytes);
}

async function replaceItems(client: Queryable, serverId: string, items: readonly Item[]): Promise<void> {
  await client.query("DELETE FROM registry.items WHERE server_id = $1", [serverId]);
  await client.query(
    `INSERT INTO registry.items (server_id, position, kind, key, definition, hash, retry_safe)
     SELECT $1, position, kind, key, definition, hash, retry_safe
     FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[])
       WITH ORDINALITY AS item (kind, key, definition, hash, retry_safe, position)`,
    [
      serverId,
      items.map(({ kind }) => kind),
      items.map(({ key }) => key),
      items.map(({ definition }) => definition),
      items.map(({ hash }) => hash),
      items.map(({ retrySafe }) => retrySafe),
    ],
  );
}
