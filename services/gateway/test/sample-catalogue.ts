import type { registryV1 } from "@tollgate/contracts";

export function registryTool(name: string, fields: Partial<registryV1.Tool> = {}): registryV1.Tool {
  const definition = JSON.stringify({ name, inputSchema: { type: "object" } });
  return { name, definition, hash: "", retrySafe: false, ...fields };
}

export function registryServer(fields: Partial<registryV1.Server> & { id: string }): registryV1.Server {
  return {
    name: fields.id,
    group: "demo",
    type: "node",
    enabled: true,
    status: "ready",
    reason: "",
    era: "legacy",
    tools: [registryTool("echo")],
    serverInfo: "{}",
    reportedAtMs: 0n,
    prompts: [],
    resources: [],
    resourceTemplates: [],
    capabilities: "",
    instructions: "",
    protocol: "",
    clientCapabilities: [],
    sessionContext: false,
    ...fields,
  };
}

export function snapshotOf(
  servers: readonly registryV1.Server[],
  groups: readonly string[] = ["demo"],
): registryV1.WatchCatalogueResponse {
  return { revision: 1n, groups: groups.map((id) => ({ id, name: id })), servers: [...servers] };
}
