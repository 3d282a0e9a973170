// The TypeScript SDK's first line, which speaks the legacy revisions: over Streamable HTTP, HTTP+SSE, WebSocket and stdio.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { WebSocketClientTransport } from "@modelcontextprotocol/sdk/client/websocket.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { allPages, ANSWERS, drive } from "./steps.mjs";

await drive(async (task) => {
  const client = new Client(
    { name: "sdk-v1", version: "1" },
    { capabilities: { elicitation: {}, sampling: {}, roots: {} } },
  );
  client.setRequestHandler(ElicitRequestSchema, () => ANSWERS.elicitation);
  client.setRequestHandler(CreateMessageRequestSchema, () => ANSWERS.sampling);
  client.setRequestHandler(ListRootsRequestSchema, () => ANSWERS.roots);
  const notices = [];
  for (const schema of [LoggingMessageNotificationSchema, ResourceUpdatedNotificationSchema])
    client.setNotificationHandler(schema, (notice) => void notices.push(notice));
  const transport = openTransport(task);
  let revision;
  const remember = transport.setProtocolVersion?.bind(transport);
  transport.setProtocolVersion = (version) => {
    revision = version;
    remember?.(version);
  };
  await client.connect(transport);
  return {
    revision: () => revision,
    tools: () => allPages("tools", (page) => client.listTools(page)),
    prompts: () => allPages("prompts", (page) => client.listPrompts(page)),
    resources: () => allPages("resources", (page) => client.listResources(page)),
    templates: () => allPages("resourceTemplates", (page) => client.listResourceTemplates(page)),
    call: (name, args, options) => client.callTool({ name, arguments: args }, undefined, options),
    prompt: (name, args) => client.getPrompt({ name, arguments: args }),
    read: (uri) => client.readResource({ uri }),
    complete: (ref, argument) => client.complete({ ref, argument }),
    notices,
    logLevel: (level) => client.setLoggingLevel(level),
    subscribe: (uri) => client.subscribeResource({ uri }),
    close: async () => {
      await transport.terminateSession?.();
      await client.close();
    },
  };
});

function openTransport({ transport, url, token, command, args, env }) {
  if (transport === "stdio") return new StdioClientTransport({ command, args, env });
  const headers = { authorization: `Bearer ${token}` };
  // oxlint-disable-next-line typescript/no-deprecated -- servers of 2024-11-05 have nothing else, nor have their clients
  if (transport === "sse") return new SSEClientTransport(new URL(url), { requestInit: { headers } });
  if (transport === "http") return new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
  // The transport has no place for a token: its user gives the connection one.
  const Plain = globalThis.WebSocket;
  globalThis.WebSocket = class extends Plain {
    constructor(address, protocols) {
      super(address, { protocols, headers });
    }
  };
  return new WebSocketClientTransport(new URL(url));
}
