import { registryV1 } from "@tollgate/contracts";

export function registryTool(name: string, fields: Partial<registryV1.Tool> = {}): registryV1.Tool {
  const definition = JSON.stringify({ name, inputSchema: { type: "object" } });
  return registryV1.Tool.fromPartial({ name, definition, certification: "draft", version: 1, ...fields });
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
    isolation: "none",
    limitsBy: "prlimit",
    toolRules: [],
    generation: 0n,
    poolMode: "multiplexed",
    environment: "",
    risk: "",
    withheldTools: [],
    ...fields,
  };
}

/** A prompt, resource or template. */
export function registryItem(key: string, definition: object): registryV1.Item {
  return { key, definition: JSON.stringify(definition), hash: "" };
}

const prompt = (name: string) => registryItem(name, { name, description: `the prompt ${name}` });
const resource = (uri: string) => registryItem(uri, { uri, name: `the resource ${uri}`, extra: { kept: 1.5 } });

/** A server that can everything, one that shares its names, and in another group one that has tools only. */
export function manyServers(): registryV1.Server[] {
  return [
    registryServer({
      id: "one",
      tools: [registryTool("echo"), registryTool("safe", { retrySafe: true }), paramTool()],
      prompts: [prompt("greet"), prompt("hidden")],
      resources: [resource("file:///a"), resource("ui://app/view"), resource("file:///secret")],
      resourceTemplates: [registryItem("file:///{path}", { uriTemplate: "file:///{path}", name: "files" })],
      capabilities: JSON.stringify({
        prompts: {},
        resources: { subscribe: true },
        completions: {},
        logging: {},
        tasks: { list: {}, cancel: {} },
        experimental: { own: { kept: true } },
      }),
      serverInfo: JSON.stringify({ name: "one's own", version: "7" }),
      instructions: "Greet before you echo.",
    }),
    registryServer({
      id: "two",
      prompts: [prompt("greet")],
      resources: [resource("file:///a")],
      capabilities: JSON.stringify({ prompts: {}, resources: {} }),
      instructions: "Two is second.",
    }),
    registryServer({ id: "plain", group: "plain", capabilities: "{}" }),
  ];
}

function paramTool(): registryV1.Tool {
  const properties = { region: { type: "string", "x-mcp-header": "Region" } };
  const definition = { name: "placed", inputSchema: { type: "object", properties } };
  return registryTool("placed", { definition: JSON.stringify(definition) });
}

export function snapshotOf(
  servers: readonly registryV1.Server[],
  groups: readonly string[] = ["demo"],
  revision = 1n,
): registryV1.WatchCatalogueResponse {
  const named = groups.map((id) => ({ id, name: id }));
  return registryV1.WatchCatalogueResponse.fromPartial({ revision, groups: named, servers: [...servers] });
}
