import type { IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";

/** One message as the endpoint got it, and the connection on which it came. */
export interface SocketMessage {
  readonly body: string;
  readonly message: Record<string, any>;
  readonly socket: WebSocket;
}

export interface SocketEndpoint {
  readonly url: string;
  readonly received: SocketMessage[];
  readonly handshakes: IncomingHttpHeaders[];
  /** The connections that are open. */
  readonly sockets: Set<WebSocket>;
  close(): Promise<void>;
}

export interface SocketOptions {
  readonly port?: number;
  /** The status that refuses a handshake, if it does. */
  readonly refusal?: (headers: IncomingHttpHeaders) => number | undefined;
}

/** A real WebSocket server on a free port (or the given one) that handles each message as `reply` says. */
export async function startSocketEndpoint(
  reply: (received: SocketMessage) => void,
  { port = 0, refusal = () => undefined }: SocketOptions = {},
): Promise<SocketEndpoint> {
  const received: SocketMessage[] = [];
  const handshakes: IncomingHttpHeaders[] = [];
  const server = new WebSocketServer({
    port,
    host: "127.0.0.1",
    handleProtocols: (offered) => (offered.has("mcp") ? "mcp" : false),
    verifyClient: ({ req }, accept) => {
      handshakes.push(req.headers);
      const status = refusal(req.headers);
      accept(status === undefined, status, "refused");
    },
  });
  server.on("connection", (socket) =>
    socket.on("message", (data: Buffer) => {
      const body = data.toString("utf8");
      const entry = { body, message: JSON.parse(body) as Record<string, any>, socket };
      received.push(entry);
      reply(entry);
    }),
  );
  await new Promise((resolve) => server.once("listening", resolve));
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/mcp/ws`,
    received,
    handshakes,
    sockets: server.clients,
    close: () =>
      new Promise((resolve) => {
        for (const socket of server.clients) socket.terminate();
        server.close(() => resolve());
      }),
  };
}
