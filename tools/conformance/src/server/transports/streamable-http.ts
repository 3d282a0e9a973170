import { randomUUID } from "node:crypto";
import { toNodeHandler } from "@modelcontextprotocol/node";
import {
  createMcpHandler,
  isLegacyRequest,
  WebStandardStreamableHTTPServerTransport,
} from "@modelcontextprotocol/server";
import type { FixtureFactory } from "../fixture-server.ts";
import type { ServedEra } from "./connection.ts";
import { MemoryEventStore } from "./event-store.ts";
import { listen } from "./listener.ts";

const SESSIONS_MAX = 10_000;
/** Short, so that a test of a lost connection does not wait. */
const RETRY_MS = 200;

/** Legacy clients have sessions, with streams that can be resumed; modern ones are served request by request. */
export async function serveStreamableHttp(factory: FixtureFactory, era: ServedEra, port: number) {
  const modern = createMcpHandler(() => factory.create("modern", false), {
    legacy: "reject",
    bus: factory.state.events,
  });
  const legacy = legacySessions(factory);
  const node = toNodeHandler({
    fetch: async (request) => {
      const isLegacy = era === "legacy" || (era === "both" && (await isLegacyRequest(request)));
      return isLegacy ? legacy(request) : modern.fetch(request);
    },
  });
  const { address, close } = await listen(port, async (request, response) => {
    if (request.url === "/mcp") return node(request as Parameters<typeof node>[0], response);
    response.writeHead(404).end();
  });
  return { url: `http://${address}/mcp`, close };
}

function legacySessions(factory: FixtureFactory): (request: Request) => Promise<Response> {
  const sessions = new Map<string, WebStandardStreamableHTTPServerTransport>();

  async function open(request: Request): Promise<Response> {
    const server = factory.create("legacy", true);
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: new MemoryEventStore(),
      retryInterval: RETRY_MS,
      onsessioninitialized: (id) => void sessions.set(id, transport),
      onsessionclosed: (id) => void sessions.delete(id),
    });
    await server.connect(transport);
    const response = await transport.handleRequest(request);
    // Anything but initialize was refused, and nobody will come back for it.
    if (transport.sessionId === undefined) await server.close();
    return response;
  }

  return async (request) => {
    const id = request.headers.get("mcp-session-id");
    if (id !== null) return (await sessions.get(id)?.handleRequest(request)) ?? refuse(404, "Session not found");
    return sessions.size < SESSIONS_MAX ? open(request) : refuse(503, "Too many sessions");
  };
}

function refuse(status: number, message: string): Response {
  return Response.json({ jsonrpc: "2.0", id: null, error: { code: -32_000, message } }, { status });
}
