// The TypeScript SDK's second line: modern when told to, legacy otherwise.
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { ANSWERS, drive } from "./steps.mjs";

await drive(async (task) => {
  const mode = task.era === "modern" ? { pin: "2026-07-28" } : "legacy";
  const client = new Client(
    { name: "sdk-v2", version: "1" },
    { capabilities: { elicitation: {}, sampling: {}, roots: {} }, versionNegotiation: { mode } },
  );
  client.setRequestHandler("elicitation/create", () => ANSWERS.elicitation);
  client.setRequestHandler("sampling/createMessage", () => ANSWERS.sampling);
  client.setRequestHandler("roots/list", () => ANSWERS.roots);
  const transport = openTransport(task);
  await client.connect(transport);
  return {
    revision: () => client.getNegotiatedProtocolVersion(),
    tools: async () => (await client.listTools()).tools,
    prompts: async () => (await client.listPrompts()).prompts,
    resources: async () => (await client.listResources()).resources,
    templates: async () => (await client.listResourceTemplates()).resourceTemplates,
    call: (name, args, options) => client.callTool({ name, arguments: args }, options),
    prompt: (name, args) => client.getPrompt({ name, arguments: args }),
    read: (uri) => client.readResource({ uri }),
    complete: (ref, argument) => client.complete({ ref, argument }),
    close: async () => {
      await transport.terminateSession?.();
      await client.close();
    },
  };
});

function openTransport({ transport, url, token, command, args, env }) {
  if (transport === "stdio") return new StdioClientTransport({ command, args, env });
  const requestInit = { headers: { authorization: `Bearer ${token}` } };
  // oxlint-disable-next-line typescript/no-deprecated -- servers of 2024-11-05 have nothing else, nor have their clients
  const Transport = transport === "sse" ? SSEClientTransport : StreamableHTTPClientTransport;
  return new Transport(new URL(url), { requestInit });
}
