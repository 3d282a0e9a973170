import { toolsV1 } from "@tollgate/contracts";
import { callUnary, openGrpcClient, openLife, serviceMetadata } from "@tollgate/service";
import { testLog } from "@tollgate/testkit";

/** ToolService, for the tools of the server `notes`, asked by ann. */
export interface ToolClient {
  versions(tool: string): Promise<toolsV1.ToolVersion[]>;
  decide(
    tool: string,
    decision: string,
    more?: Partial<toolsV1.DecideToolRequest>,
  ): Promise<toolsV1.DecideToolResponse>;
  register(tool: string): Promise<toolsV1.RegisterToolResponse>;
  remove(tool: string): Promise<toolsV1.RemoveToolResponse>;
  close(): Promise<void>;
}

const BY_ANN = { serverId: "notes", actor: "ann", address: "" };

export function connectTools(grpcPort: number, serviceKey: string): ToolClient {
  const life = openLife(testLog);
  const address = `127.0.0.1:${grpcPort}`;
  const client = openGrpcClient(toolsV1.ToolServiceClient, { address, name: "registry", life });
  const unary = { metadata: serviceMetadata(serviceKey), timeoutMs: 10_000, service: "registry" };
  return {
    async versions(tool) {
      const { versions } = await callUnary(client.listToolVersions.bind(client), { serverId: "notes", tool }, unary);
      return versions;
    },
    decide: (tool, decision, more = {}) =>
      callUnary(client.decideTool.bind(client), { ...BY_ANN, tool, decision, version: 0, comment: "", ...more }, unary),
    register: (tool) => callUnary(client.registerTool.bind(client), { ...BY_ANN, tool }, unary),
    remove: (tool) => callUnary(client.removeTool.bind(client), { ...BY_ANN, tool }, unary),
    close: () => life.close(),
  };
}
