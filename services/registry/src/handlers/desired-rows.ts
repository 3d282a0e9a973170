import type { DesiredState } from "@tollgate/desired-state";
import { toAssignment, toToolRules } from "../domain/assignment.ts";
import type { DesiredRows } from "../store/desired.ts";

/** What may be stored: the spec as written, and of the resolved one its hash only. */
export function toDesiredRows({ groups, servers, toolSets, tenants }: DesiredState): DesiredRows {
  return {
    tenants,
    toolSets,
    groups: groups.map(({ id, name }) => ({ id, name })),
    servers: servers.map((server) => ({
      id: server.id,
      name: server.name,
      group: server.group,
      type: server.type,
      enabled: server.enabled,
      spec: server.written,
      specHash: toAssignment(server).specHash,
      withheld: server.withheld ?? "",
      clientCapabilities: server.clientCapabilities,
      sessionContext: server.sessionContext,
      toolRules: toToolRules(server),
      toolPolicy: server.toolPolicy,
      environment: server.environment,
      risk: server.risk,
      poolMode: server.pool.mode,
    })),
  };
}
