import type { DesiredTenant, DesiredToolPolicy, DesiredToolSet } from "@tollgate/desired-state";
import type { Queryable } from "./revision.ts";

export interface GroupRow {
  readonly id: string;
  readonly name: string;
}

export interface ServerRow {
  readonly id: string;
  readonly name: string;
  readonly group: string;
  readonly type: string;
  readonly enabled: boolean;
  /** As written, nothing resolved. */
  readonly spec: unknown;
  readonly specHash: string;
  /** Why it cannot run now: a secret is not to be had. Empty where it can. */
  readonly withheld: string;
  readonly clientCapabilities: readonly string[];
  readonly sessionContext: boolean;
  readonly toolRules: unknown;
  readonly toolPolicy: DesiredToolPolicy;
  readonly poolMode: string;
  readonly environment: string;
  readonly risk: string;
}

/** What is to be in force. */
export interface DesiredRows {
  readonly groups: readonly GroupRow[];
  readonly servers: readonly ServerRow[];
  readonly toolSets: readonly DesiredToolSet[];
  readonly tenants: readonly DesiredTenant[];
}

/**
 * Makes the tables hold exactly these, inside a transaction. A server that is gone takes what it offers with it; one whose
 * spec is another than the one reported on is pending again, offering nothing. Whether anything was another: every
 * replica may apply the same.
 */
export async function writeDesired(client: Queryable, desired: DesiredRows, revision: bigint): Promise<boolean> {
  let changes = 0;
  const run = async (sql: string, parameters: unknown[]): Promise<void> => {
    const { rowCount } = await client.query(sql, parameters);
    changes += rowCount ?? 0;
  };
  const listed = (entries: readonly object[]): string =>
    JSON.stringify(entries.map((entry, position) => ({ ...entry, position })));
  const ids = (entries: readonly { readonly id: string }[]): string[] => entries.map(({ id }) => id);
  const { groups, servers, toolSets, tenants } = desired;
  await run(UPSERT_TENANTS, [listed(tenants)]);
  await run("DELETE FROM registry.tenants WHERE id <> ALL ($1)", [ids(tenants)]);
  await run(UPSERT_TOOL_SETS, [listed(toolSets)]);
  await run("DELETE FROM registry.tool_sets WHERE id <> ALL ($1)", [ids(toolSets)]);
  await run(UPSERT_GROUPS, [listed(groups)]);
  await run(UPSERT_SERVERS, [listed(servers)]);
  await run("DELETE FROM registry.servers WHERE id <> ALL ($1)", [ids(servers)]);
  await run("DELETE FROM registry.groups WHERE id <> ALL ($1)", [ids(groups)]);
  await run(SET_TOOL_POLICIES, [JSON.stringify(servers.map(({ id, toolPolicy }) => ({ id, ...toolPolicy })))]);
  await run(DROP_OUTDATED_STATES, []);
  await run(INSERT_STATES, [revision]);
  await run(SWITCH_STATES, []);
  const withheld = servers.filter((server) => server.enabled && server.withheld !== "");
  await run(WITHHOLD_STATES, [JSON.stringify(withheld.map(({ id, withheld: reason }) => ({ id, reason })))]);
  const released = await client.query(RELEASE_STATES, [ids(withheld)]);
  await run(RESTART_RELEASED, [released.rows.map(({ server_id: id }: { server_id: string }) => id)]);
  return changes > 0;
}

const UPSERT_TENANTS = `
  INSERT INTO registry.tenants AS old (id, position, plan, lane, weight, max_concurrent, max_waiting)
  SELECT id, position, plan, lane, weight, "maxConcurrent", "maxWaiting"
  FROM jsonb_to_recordset($1) AS new (id text, position integer, plan text, lane text, weight integer,
    "maxConcurrent" integer, "maxWaiting" integer)
  ON CONFLICT (id) DO UPDATE SET position = excluded.position, plan = excluded.plan, lane = excluded.lane,
    weight = excluded.weight, max_concurrent = excluded.max_concurrent, max_waiting = excluded.max_waiting
  WHERE (old.position, old.plan, old.lane, old.weight, old.max_concurrent, old.max_waiting) IS DISTINCT FROM
    (excluded.position, excluded.plan, excluded.lane, excluded.weight, excluded.max_concurrent, excluded.max_waiting)`;

const UPSERT_TOOL_SETS = `
  INSERT INTO registry.tool_sets AS old (id, position, name, description, tools, repositories)
  SELECT id, position, name, description, tools, repositories
  FROM jsonb_to_recordset($1) AS new (id text, position integer, name text, description text, tools text[],
    repositories text[])
  ON CONFLICT (id) DO UPDATE SET position = excluded.position, name = excluded.name,
    description = excluded.description, tools = excluded.tools, repositories = excluded.repositories
  WHERE (old.position, old.name, old.description, old.tools, old.repositories) IS DISTINCT FROM
    (excluded.position, excluded.name, excluded.description, excluded.tools, excluded.repositories)`;

const UPSERT_GROUPS = `
  INSERT INTO registry.groups AS old (id, name, position)
  SELECT id, name, position FROM jsonb_to_recordset($1) AS new (id text, name text, position integer)
  ON CONFLICT (id) DO UPDATE SET name = excluded.name, position = excluded.position
  WHERE (old.name, old.position) IS DISTINCT FROM (excluded.name, excluded.position)`;

const UPSERT_SERVERS = `
  INSERT INTO registry.servers AS old
    (id, name, group_id, type, enabled, position, spec, spec_hash, client_capabilities, session_context, tool_rules,
    pool_mode, environment, risk, source)
  SELECT id, name, "group", type, enabled, position, spec,
    -- Of a secret that is away the hash says nothing: another replica may have it.
    coalesce((SELECT spec_hash FROM registry.servers AS known
      WHERE known.id = new.id AND known.spec = new.spec AND new.withheld <> ''), "specHash"), "clientCapabilities", "sessionContext",
    "toolRules", "poolMode", environment, risk, 'file'
  FROM jsonb_to_recordset($1) AS new (id text, name text, "group" text, type text, enabled boolean,
    position integer, spec jsonb, "specHash" text, withheld text, "clientCapabilities" text[], "sessionContext" boolean, "toolRules" jsonb, "poolMode" text,
    environment text, risk text)
  ON CONFLICT (id) DO UPDATE SET name = excluded.name, group_id = excluded.group_id, type = excluded.type,
    enabled = excluded.enabled, position = excluded.position, spec = excluded.spec, spec_hash = excluded.spec_hash,
    client_capabilities = excluded.client_capabilities, session_context = excluded.session_context,
    tool_rules = excluded.tool_rules, pool_mode = excluded.pool_mode, environment = excluded.environment,
    risk = excluded.risk
  WHERE (old.name, old.group_id, old.type, old.enabled, old.position, old.spec, old.spec_hash,
      old.client_capabilities, old.session_context, old.tool_rules, old.pool_mode, old.environment, old.risk) IS DISTINCT FROM
    (excluded.name, excluded.group_id, excluded.type, excluded.enabled, excluded.position, excluded.spec,
      excluded.spec_hash, excluded.client_capabilities, excluded.session_context, excluded.tool_rules, excluded.pool_mode,
      excluded.environment, excluded.risk)`;

const SET_TOOL_POLICIES = `
  UPDATE registry.servers AS server
  SET tool_changes = new.changes, certification = new.certification, four_eyes = new."fourEyes"
  FROM jsonb_to_recordset($1) AS new (id text, changes text, certification text, "fourEyes" boolean)
  WHERE server.id = new.id AND (server.tool_changes, server.certification, server.four_eyes) IS DISTINCT FROM
    (new.changes, new.certification, new."fourEyes")`;

const DROP_OUTDATED_STATES = `
  DELETE FROM registry.server_states AS state USING registry.servers AS server
  WHERE server.id = state.server_id AND server.spec_hash <> state.spec_hash`;

const INSERT_STATES = `
  INSERT INTO registry.server_states (server_id, status, spec_hash, items_revision)
  SELECT id, 'pending', spec_hash, $1 FROM registry.servers
  ON CONFLICT DO NOTHING`;

const SWITCH_STATES = `
  UPDATE registry.server_states AS state
  SET status = CASE WHEN server.enabled THEN 'pending' ELSE 'disabled' END, reason = ''
  FROM registry.servers AS server
  WHERE server.id = state.server_id AND server.enabled = (state.status = 'disabled')`;

const WITHHOLD_STATES = `
  UPDATE registry.server_states AS state SET status = 'unavailable', reason = given.reason, withheld = true
  FROM jsonb_to_recordset($1) AS given (id text, reason text)
  WHERE state.server_id = given.id
    AND (state.status, state.reason, state.withheld) IS DISTINCT FROM ('unavailable', given.reason, true)`;

const RELEASE_STATES = `
  UPDATE registry.server_states
  SET withheld = false, reason = CASE status WHEN 'unavailable' THEN '' ELSE reason END,
    status = CASE status WHEN 'unavailable' THEN 'pending' ELSE status END
  WHERE withheld AND server_id <> ALL ($1) RETURNING server_id`;

/** A runner of another replica may have had it all the time, and tells of it once more when it starts it anew. */
const RESTART_RELEASED = "UPDATE registry.servers SET generation = generation + 1 WHERE id = ANY ($1)";
