// The AI SDK's client: looks for a modern server first, unless told not to.
import { createMCPClient, ElicitationRequestSchema } from "@ai-sdk/mcp";
import { StdioMCPTransport } from "@ai-sdk/mcp/mcp-stdio";
import { allPages, ANSWERS, drive } from "./steps.mjs";

await drive(async ({ era, transport, url, token, command, args, env }) => {
  const headers = { Authorization: `Bearer ${token}` };
  const client = await createMCPClient({
    transport:
      transport === "stdio" ? new StdioMCPTransport({ command, args, env }) : { type: transport, url, headers },
    protocolVersionDiscovery: era === "modern",
    capabilities: { elicitation: {} },
  });
  client.onElicitationRequest(ElicitationRequestSchema, () => ANSWERS.elicitation);
  return {
    revision: () => client.initializeResult.protocolVersion,
    tools: () => allPages("tools", (params) => client.listTools({ params })),
    prompts: () => allPages("prompts", (params) => client.listPrompts({ params })),
    resources: () => allPages("resources", (params) => client.listResources({ params })),
    templates: async () => (await client.listResourceTemplates()).resourceTemplates,
    call: (name, values, { signal } = {}) => client.callTool({ name, arguments: values, options: { signal } }),
    prompt: (name, values) => client.getPrompt({ name, arguments: values }),
    read: (uri) => client.readResource({ uri }),
    complete: (ref, argument) => client.complete({ ref, argument }),
    close: () => client.close(),
  };
});
