import type { DesiredToolSet } from "@tollgate/desired-state";
import type { DeclaredResource } from "../domain/changes.ts";
import type { Queryable } from "./revision.ts";

interface ServerRow {
  readonly id: string;
  readonly name: string;
  readonly group_id: string;
  readonly type: string;
  readonly enabled: boolean;
  readonly spec: Readonly<Record<string, unknown>>;
  readonly spec_hash: string;
  readonly tool_rules: readonly ({ readonly tool: string } & Readonly<Record<string, unknown>>)[];
}

/** All that the file has declared, as the record may show it. */
export async function readDeclared(client: Queryable): Promise<DeclaredResource[]> {
  const tenants = await client.query<{ id: string }>(
    `SELECT id, plan, lane, weight, max_concurrent AS "maxConcurrent", max_waiting AS "maxWaiting"
     FROM registry.tenants ORDER BY position`,
  );
  const groups = await client.query<{ id: string; name: string }>(
    "SELECT id, name FROM registry.groups ORDER BY position",
  );
  const toolSets = await client.query<DesiredToolSet>(
    "SELECT id, name, description, tools, repositories FROM registry.tool_sets ORDER BY position",
  );
  const servers = await client.query<ServerRow>(
    "SELECT id, name, group_id, type, enabled, spec, spec_hash, tool_rules FROM registry.servers ORDER BY position",
  );
  return [
    ...tenants.rows.map(({ id, ...value }): DeclaredResource => ({ resource: "tenant", name: id || "*", value })),
    ...groups.rows.map(({ id, name }): DeclaredResource => ({
      resource: "group",
      name: id,
      group: id,
      value: { name },
    })),
    ...servers.rows.flatMap(toServer),
    ...toolSets.rows.map(({ id: name, ...value }): DeclaredResource => ({
      resource: "tool_set",
      name,
      value: { ...value },
    })),
  ];
}

/** What it says of single tools are resources of their own. */
function toServer({ id: server, group_id: group, spec_hash: unshown, ...row }: ServerRow): DeclaredResource[] {
  const { tools: _tools, ...spec } = row.spec;
  const { name, type, enabled } = row;
  const value = { name, group, type, enabled, spec };
  const tools = row.tool_rules.map(({ tool, ...rule }): DeclaredResource => ({
    resource: "tool",
    name: `${server}:${tool}`,
    group,
    server,
    tool,
    value: rule,
  }));
  return [{ resource: "server", name: server, group, server, value, unshown }, ...tools];
}
