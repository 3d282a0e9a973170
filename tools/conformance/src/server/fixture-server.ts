import {
  fromJsonSchema,
  McpServer,
  type ProtocolEra,
  type ServerCapabilities,
  SUPPORTED_PROTOCOL_VERSIONS,
  type ListToolsResult,
  type Transport,
} from "@modelcontextprotocol/server";
import { type PageOf, pagesOf } from "./pages.ts";
import { completePrompt, getPrompt, listPrompts } from "./prompts.ts";
import { completeTemplate, listResources, readResource, resourceTemplates } from "./resources.ts";
import { createState, type ServerState } from "./state.ts";
import { serveTasks, TASKS_EXTENSION } from "./task-methods.ts";
import { callTool } from "./tool-calls.ts";
import type { ToolFixture } from "./tool.ts";
import { clientRequestTools } from "./tools/client-requests.ts";
import { contentTools } from "./tools/content.ts";
import { addedTool, echoTools } from "./tools/echo.ts";
import { inputRequiredTools } from "./tools/input-required.ts";
import { notificationTools } from "./tools/notifications.ts";
import { taskTools } from "./tools/tasks.ts";

const SERVER_INFO = { name: "tollgate-conformance", title: "Conformance", version: "1.0.0" };
const INSTRUCTIONS = "Fixtures of the official conformance suite, and some more.";
const COMPLETIONS_MAX = 100;
const STATIC_TTL_MS = 60_000;

const TOOLS: readonly ToolFixture[] = [
  ...contentTools,
  ...notificationTools,
  ...clientRequestTools,
  ...inputRequiredTools,
  ...taskTools,
  ...echoTools,
];

export interface FixtureOptions {
  readonly pageSize?: number | undefined;
  /** The newest revision that a legacy instance agrees to. */
  readonly revision?: string | undefined;
}

/** Makes one instance per connection, or per modern HTTP request; all have the same state. */
export interface FixtureFactory {
  readonly state: ServerState;
  /** `isConnected`: the instance lives as long as its client's connection, so it tells that client what changes. */
  readonly create: (era: ProtocolEra, isConnected: boolean) => McpServer;
}

export function createFactory({ pageSize, revision }: FixtureOptions): FixtureFactory {
  const state = createState();
  const pageOf = pagesOf(pageSize);
  // The newest first: it is offered to a client that asks for one that is not among them.
  const revisions = SUPPORTED_PROTOCOL_VERSIONS.filter((each) => revision === undefined || each <= revision);
  return {
    state,
    create: (era, isConnected) => {
      const server = new FixtureServer(SERVER_INFO, {
        instructions: INSTRUCTIONS,
        capabilities: capabilitiesOf(era),
        enforceStrictCapabilities: true,
        requestState: { verify: (value, context) => state.requestStates.verify(value, context) },
        ...(era === "legacy" && { supportedProtocolVersions: revisions }),
      });
      serveTools(server, era, state, pageOf);
      serveResources(server, era, state, pageOf);
      servePrompts(server, state, pageOf);
      serveTasks(server.server, era, state.tasks);
      if (isConnected) announceChanges(server, era, state);
      return server;
    },
  };
}

function capabilitiesOf(era: ProtocolEra): ServerCapabilities {
  return {
    tools: { listChanged: true },
    prompts: { listChanged: true },
    resources: { listChanged: true, subscribe: true },
    completions: {},
    logging: {},
    ...(era === "legacy"
      ? { tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } }
      : { extensions: { [TASKS_EXTENSION]: {} } }),
  };
}

/** The SDK knows no tasks, and gives every tool's result a `content`; a task that was started has none. */
class FixtureServer extends McpServer {
  override async connect(transport: Transport): Promise<void> {
    const send = transport.send.bind(transport);
    transport.send = (message, options) => {
      if ("result" in message && isTaskStart(message.result)) {
        const { content: _, ...result } = message.result as Record<string, unknown>;
        return send({ ...message, result }, options);
      }
      return send(message, options);
    };
    await super.connect(transport);
  }
}

function isTaskStart(result: Record<string, unknown>): boolean {
  return result["resultType"] === "task" || "task" in result;
}

function serveTools(mcp: McpServer, era: ProtocolEra, state: ServerState, pageOf: PageOf): void {
  // Registered for the SDK's HTTP entry, which compares Mcp-Param headers with the schema; the handlers are ours.
  for (const { definition, call } of TOOLS) {
    const inputSchema = fromJsonSchema<Record<string, unknown>>(definition.inputSchema);
    mcp.registerTool(definition.name, { inputSchema }, async (args, { mcpReq, http, sessionId }) =>
      call(args, { era, server: mcp.server, request: mcpReq, http, sessionId, state }),
    );
  }
  const available = () => (state.added.tool ? [...TOOLS, addedTool] : TOOLS);
  mcp.server.setRequestHandler("tools/list", ({ params }) => {
    const { page, nextCursor } = pageOf(available(), params?.cursor);
    return { tools: page.map(listed), ...(nextCursor !== undefined && { nextCursor }) };
  });
  mcp.server.setRequestHandler("tools/call", ({ params }, { mcpReq, http, sessionId }) =>
    callTool(available(), params, { era, server: mcp.server, request: mcpReq, http, sessionId, state }),
  );
}

function listed({ definition, task }: ToolFixture): ListToolsResult["tools"][number] {
  const tool = definition as ListToolsResult["tools"][number];
  return task === undefined ? tool : { ...tool, execution: { taskSupport: task.support } };
}

function serveResources({ server }: McpServer, era: ProtocolEra, state: ServerState, pageOf: PageOf): void {
  server.setRequestHandler("resources/list", ({ params }) => {
    const { page: resources, nextCursor } = pageOf(listResources(state), params?.cursor);
    return { resources, ...(nextCursor !== undefined && { nextCursor }) };
  });
  server.setRequestHandler("resources/templates/list", ({ params }) => {
    const { page, nextCursor } = pageOf(resourceTemplates, params?.cursor);
    return { resourceTemplates: page, ...(nextCursor !== undefined && { nextCursor }) };
  });
  server.setRequestHandler("resources/read", ({ params: { uri } }) => {
    const result = readResource(uri, state);
    // What a static resource says of itself differs from the defaults, so that it shows whether it arrives.
    if (era === "legacy" || !uri.startsWith("test://static-")) return result;
    return { ...result, ttlMs: STATIC_TTL_MS, cacheScope: "public" as const };
  });
}

function servePrompts({ server }: McpServer, state: ServerState, pageOf: PageOf): void {
  server.setRequestHandler("prompts/list", ({ params }) => {
    const { page: prompts, nextCursor } = pageOf(listPrompts(state), params?.cursor);
    return { prompts, ...(nextCursor !== undefined && { nextCursor }) };
  });
  server.setRequestHandler("prompts/get", ({ params }, { mcpReq }) =>
    getPrompt(params.name, params.arguments ?? {}, mcpReq, state),
  );
  server.setRequestHandler("completion/complete", ({ params: { ref, argument, context } }) => {
    const known =
      ref.type === "ref/prompt"
        ? completePrompt(ref.name, argument.name, context?.arguments ?? {}, state)
        : completeTemplate(ref.uri, argument.name);
    const values = known.filter((value) => value.startsWith(argument.value));
    const hasMore = values.length > COMPLETIONS_MAX;
    return { completion: { values: values.slice(0, COMPLETIONS_MAX), total: values.length, hasMore } };
  });
}

/** A modern client's subscriptions are the SDK's; a legacy client's resource subscriptions are kept here. */
function announceChanges({ server }: McpServer, era: ProtocolEra, { events }: ServerState): void {
  const subscribed = new Set<string>();
  server.setRequestHandler("resources/subscribe", ({ params: { uri } }) => {
    subscribed.add(uri);
    return {};
  });
  server.setRequestHandler("resources/unsubscribe", ({ params: { uri } }) => {
    subscribed.delete(uri);
    return {};
  });
  const unsubscribe = events.subscribe((event) => {
    if (event.kind === "resource_updated" && era === "legacy" && !subscribed.has(event.uri)) return;
    const sent =
      event.kind === "resource_updated"
        ? server.sendResourceUpdated({ uri: event.uri })
        : server.notification({ method: `notifications/${event.kind.replace("_list", "/list")}` });
    // Whoever has just left needs not be told.
    sent.catch(() => undefined);
  });
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK's servers have no other way
  server.onclose = unsubscribe;
}
