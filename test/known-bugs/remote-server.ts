import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export interface RemoteServer {
  readonly url: string;
  /** Of every request that it has had. */
  readonly headers: readonly IncomingHttpHeaders[];
  /** Sessions that it has begun. */
  readonly begun: () => number;
  /** As a server does that was started anew: it knows none of its sessions any more. */
  readonly forget: () => void;
  readonly stop: () => Promise<void>;
}

export interface RemoteOptions {
  readonly tools: number;
  readonly pageSize: number;
  /** Its last page names the first one as the next. */
  readonly loops?: boolean;
}

/** A legacy MCP server over Streamable HTTP, which answers in JSON. */
export async function startRemoteServer(options: RemoteOptions): Promise<RemoteServer> {
  const headers: IncomingHttpHeaders[] = [];
  const sessions = new Set<string>();
  let begun = 0;

  function results(method: string, params: any): object | undefined {
    if (method === "tools/list") return page(options, params?.cursor);
    if (method === "tools/call") return { content: [{ type: "text", text: `called ${params.name}` }] };
    const capabilities = { tools: {} };
    const serverInfo = { name: "remote", version: "1" };
    return method === "initialize" ? { protocolVersion: "2025-11-25", capabilities, serverInfo } : undefined;
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    headers.push(request.headers);
    if (request.method !== "POST") return void response.writeHead(request.method === "DELETE" ? 200 : 405).end();
    const { id, method, params } = JSON.parse(await text(request));
    const session = request.headers["mcp-session-id"];
    if (method === "initialize") {
      sessions.add(`upstream-${(begun += 1)}`);
      response.setHeader("mcp-session-id", `upstream-${begun}`);
    } else if (!sessions.has(String(session))) return void response.writeHead(session === undefined ? 400 : 404).end();
    if (id === undefined) return void response.writeHead(202).end();
    const result = results(method, params);
    const error = { code: -32_601, message: `unknown: ${method}` };
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ jsonrpc: "2.0", id, ...(result ? { result } : { error }) }));
  }

  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    headers,
    begun: () => begun,
    forget: () => sessions.clear(),
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

function page({ tools, pageSize, loops }: RemoteOptions, cursor: string | undefined): object {
  const start = Number(cursor ?? 0);
  const end = Math.min(start + pageSize, tools);
  const items = Array.from({ length: end - start }, (_each, i) => ({
    name: `tool-${start + i}`,
    inputSchema: { type: "object" },
  }));
  const next = end < tools ? String(end) : loops === true ? "0" : undefined;
  return { tools: items, ...(next === undefined ? {} : { nextCursor: next }) };
}
