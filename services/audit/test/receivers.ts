import { once } from "node:events";
import { createServer as createHttpServer, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { gunzipSync } from "node:zlib";
import { readFrames } from "./siem-parsers.ts";

export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
  readonly requestCert?: boolean;
}

/** A syslog server over TCP or TLS. It keeps what it has read as whole messages. */
export interface SyslogReceiver {
  readonly port: number;
  readonly messages: readonly string[];
  /** Reads no more, as one whose disk is full; `false`: reads on. */
  stall(isStalled: boolean): void;
  /** Ends as a process that is killed: what it has not read is lost. */
  stop(): Promise<void>;
  /** Again on its port. */
  start(): Promise<void>;
  connections(): number;
}

export async function openSyslogReceiver(tls?: ServerTls): Promise<SyslogReceiver> {
  const messages: string[] = [];
  const sockets = new Set<Socket>();
  let isStalled = false;
  let connections = 0;
  let server: Server;
  let port = 0;

  const take = (socket: Socket): void => {
    connections += 1;
    sockets.add(socket);
    let rest: Buffer = Buffer.alloc(0);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      const read = readFrames(Buffer.concat([rest, chunk]));
      messages.push(...read.messages);
      rest = read.rest;
    });
    if (isStalled) socket.pause();
  };
  const start = async (): Promise<void> => {
    server = tls === undefined ? createServer(take) : createTlsServer({ ...tls, rejectUnauthorized: true }, take);
    server.on("tlsClientError", () => {});
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    ({ port } = server.address() as AddressInfo);
  };
  await start();
  return {
    get port() {
      return port;
    },
    messages,
    stall(stalled) {
      isStalled = stalled;
      for (const socket of sockets)
        if (stalled) socket.pause();
        else socket.resume();
    },
    async stop() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.resetAndDestroy();
      await closed;
    },
    start,
    connections: () => connections,
  };
}

export interface HttpRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface HttpReceiver {
  readonly port: number;
  /** In the order in which they came, with what they were answered. */
  readonly requests: readonly (HttpRequest & { readonly status: number })[];
  close(): Promise<void>;
}

/** @param answer undefined: none, ever */
export async function openHttpReceiver(
  answer: (request: HttpRequest) => HttpAnswer | undefined,
  tls?: ServerTls,
): Promise<HttpReceiver> {
  const requests: (HttpRequest & { status: number })[] = [];
  const server = tls === undefined ? createHttpServer() : createHttpsServer(tls);
  server.on("request", (incoming: IncomingMessage, response) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
      const { url: path = "", headers } = incoming;
      const bytes = Buffer.concat(chunks);
      const body = (headers["content-encoding"] === "gzip" ? gunzipSync(bytes) : bytes).toString();
      const request = { path, headers, body };
      const given = answer(request);
      requests.push({ ...request, status: given?.status ?? 0 });
      if (given !== undefined) response.writeHead(given.status, given.headers).end(given.body);
    })().catch(() => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
