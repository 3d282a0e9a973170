// The OpenAI Agents SDK: it looks for a modern server over Streamable HTTP and stdio, and is a legacy client over HTTP+SSE.
// What its agents use of MCP is tools and resources; it declares no capabilities, so nobody asks it anything.
import { MCPServerSSE, MCPServerStdio, MCPServerStreamableHttp } from "@openai/agents";
import { allPages, drive } from "./steps.mjs";

await drive(async (task) => {
  const client = openServer(task);
  await client.connect();
  return {
    tools: () => client.listTools(),
    resources: () => allPages("resources", (params) => client.listResources(params)),
    templates: () => allPages("resourceTemplates", (params) => client.listResourceTemplates(params)),
    call: (name, args, options) => client.callToolResult(name, args, null, options),
    read: (uri) => client.readResource(uri),
    close: () => client.close(),
  };
});

function openServer({ transport, url, token, command, args, env }) {
  if (transport === "stdio") return new MCPServerStdio({ command, args, env });
  const options = { url, requestInit: { headers: { authorization: `Bearer ${token}` } } };
  return transport === "sse" ? new MCPServerSSE(options) : new MCPServerStreamableHttp(options);
}
