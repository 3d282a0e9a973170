import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One HTTP request as the endpoint got it; `body` is untouched. */
export interface Received {
  readonly verb: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly message: Record<string, any>;
  /** Turns true when the bridge closes the connection before the answer is complete. */
  abandoned: boolean;
}

export type Reply = (received: Received, response: ServerResponse) => void | Promise<void>;

export interface Endpoint {
  readonly url: string;
  readonly received: Received[];
  /** The messages with this method, in the order of their coming. */
  calls(method: string): Received[];
  /** The requests for a standing stream, or for the rest of a broken one. */
  gets(): Received[];
  close(): Promise<void>;
}

/** A real HTTP server on a free port (or the given one) that answers each request as `reply` says. */
export async function startEndpoint(reply: Reply, port = 0): Promise<Endpoint> {
  const received: Received[] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString("utf8");
      const message = body === "" ? {} : (JSON.parse(body) as Record<string, any>);
      const entry: Received = {
        verb: request.method ?? "",
        path: request.url ?? "",
        headers: request.headers,
        body,
        message,
        abandoned: false,
      };
      response.on("close", () => (entry.abandoned = !response.writableFinished));
      received.push(entry);
      void reply(entry, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    received,
    calls: (method) => received.filter((entry) => entry.message["method"] === method),
    gets: () => received.filter(({ verb }) => verb === "GET"),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export function json(response: ServerResponse, body: string, status = 200, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
}

export function openStream(response: ServerResponse, headers: Record<string, string> = {}): (data: string) => void {
  response.writeHead(200, { "content-type": "text/event-stream", ...headers });
  response.flushHeaders();
  return (data) => void response.write(`event: message\ndata: ${data.replaceAll("\n", "\ndata: ")}\n\n`);
}

/** The fields of one event, as they are written on the wire. */
export function event(fields: { readonly id?: string; readonly retry?: number; readonly data?: string }): string {
  return `${Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join("")}\n`;
}

/** The id as it was spelled in the request. */
function idOf(body: string): string {
  return /"id"\s*:\s*("(?:[^"\\]|\\.)*"|[-+.\deE]+)/.exec(body)?.[1] ?? "null";
}

export function resultFor(received: Received, result = "{}"): string {
  return `{"jsonrpc":"2.0","id":${idOf(received.body)},"result":${result}}`;
}

export interface LegacyOptions {
  readonly version?: string;
  /** Answers GET; without it there is no standing stream. */
  readonly standing?: Reply;
}

/** A legacy endpoint with sessions: 400 without one, 404 for one that it does not know. `reply` sees what remains. */
export function legacyReply(reply: Reply, options: LegacyOptions = {}): Reply & { readonly sessions: Set<string> } {
  const { version = "2025-11-25", standing = (_received, response) => void response.writeHead(405).end() } = options;
  const sessions = new Set<string>();
  let opened = 0;
  const answer: Reply = (received, response) => {
    if (received.message["method"] === "initialize") {
      const id = `session-${++opened}`;
      sessions.add(id);
      return json(response, resultFor(received, `{"protocolVersion":"${version}","capabilities":{}}`), 200, {
        "mcp-session-id": id,
      });
    }
    const session = received.headers["mcp-session-id"];
    if (typeof session !== "string")
      return json(response, '{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no session"}}', 400);
    if (!sessions.has(session))
      return json(response, '{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"unknown session"}}', 404);
    if (received.verb === "DELETE") {
      sessions.delete(session);
      return void response.writeHead(200).end();
    }
    if (received.verb === "GET") return standing(received, response);
    if (received.message["id"] === undefined && !Array.isArray(received.message))
      return void response.writeHead(202).end();
    return reply(received, response);
  };
  return Object.assign(answer, { sessions });
}
