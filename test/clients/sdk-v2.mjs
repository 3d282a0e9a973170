// The TypeScript SDK's second line: modern when told to, legacy otherwise.
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { ANSWERS, drive, NOTICES } from "./steps.mjs";

await drive(async (task) => {
  const isModern = task.era === "modern";
  const mode = isModern ? { pin: "2026-07-28" } : "legacy";
  const client = new Client(
    { name: "sdk-v2", version: "1" },
    { capabilities: { elicitation: {}, sampling: {}, roots: {} }, versionNegotiation: { mode } },
  );
  client.setRequestHandler("elicitation/create", () => ANSWERS.elicitation);
  client.setRequestHandler("sampling/createMessage", () => ANSWERS.sampling);
  client.setRequestHandler("roots/list", () => ANSWERS.roots);
  const notices = [];
  for (const method of NOTICES) client.setNotificationHandler(method, (notice) => void notices.push(notice));
  // A modern client says with each request what it wants to be told.
  let _meta;
  const transport = openTransport(task);
  await client.connect(transport);
  return {
    revision: () => client.getNegotiatedProtocolVersion(),
    tools: async () => (await client.listTools()).tools,
    prompts: async () => (await client.listPrompts()).prompts,
    resources: async () => (await client.listResources()).resources,
    templates: async () => (await client.listResourceTemplates()).resourceTemplates,
    call: (name, args, options) => client.callTool({ name, arguments: args, _meta }, options),
    prompt: (name, args) => client.getPrompt({ name, arguments: args }),
    read: (uri) => client.readResource({ uri }),
    complete: (ref, argument) => client.complete({ ref, argument }),
    notices,
    logLevel: async (level) => {
      if (isModern) _meta = { "io.modelcontextprotocol/logLevel": level };
      // oxlint-disable-next-line typescript/no-deprecated -- what legacy clients have
      else await client.setLoggingLevel(level);
    },
    subscribe: (uri) =>
      isModern ? client.listen({ resourceSubscriptions: [uri] }) : client.subscribeResource({ uri }),
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
