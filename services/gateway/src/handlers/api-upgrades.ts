import { type IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Socket } from "node:net";
import { AppError } from "@tollgate/errors";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type WebSocket, WebSocketServer } from "ws";
import { isOriginAllowed } from "../domain/http-checks.ts";
import { keepAlive } from "./keep-alive.ts";

/** Of a client's message: nothing is to be said here. */
const MESSAGE_MAX_BYTES = 1_024;
/** Browsers cannot send a header: `new WebSocket(url, ["bearer", token])`. */
const SUBPROTOCOL = "bearer";

interface Upgrade {
  readonly response: ServerResponse;
  readonly socket: Socket;
  readonly head: Buffer;
}

/** WebSocket for routes of the API: the same path, after all that is decided and checked of a request. */
export interface Upgrades {
  /** Whether the request wants to become a WebSocket. */
  isWanted(this: void, request: FastifyRequest): boolean;
  /** Undefined where the client's handshake was none: it has been told so. */
  accept(this: void, request: FastifyRequest, reply: FastifyReply): WebSocket | undefined;
}

export function openUpgrades(
  api: FastifyInstance,
  { allowedOrigins }: { allowedOrigins: readonly string[] },
): Upgrades {
  const upgrades = new WeakMap<IncomingMessage, Upgrade>();
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: MESSAGE_MAX_BYTES,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });
  api.server.on("upgrade", (request: IncomingMessage, duplex: Duplex, head: Buffer) => {
    if (!request.url?.startsWith("/api/")) return;
    const socket = duplex as Socket;
    socket.on("error", () => socket.destroy());
    takeToken(request);
    // A route that is no place for WebSocket, or refuses it, answers as it does over HTTP; that ends the connection.
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    response.once("finish", () => socket.end());
    upgrades.set(request, { response, socket, head });
    api.routing(request, response);
  });
  return {
    isWanted(request) {
      if (!upgrades.has(request.raw)) return false;
      const { origin } = request.headers;
      if (isOriginAllowed(origin, allowedOrigins)) return true;
      throw new AppError("permission_denied", `the origin ${origin} may not call this gateway`);
    },
    accept(request, reply) {
      const { response, socket, head } = upgrades.get(request.raw)!;
      reply.hijack();
      response.detachSocket(socket);
      let opened: WebSocket | undefined;
      server.handleUpgrade(request.raw, socket, head, (webSocket) => (opened = webSocket));
      if (opened === undefined) return undefined;
      opened.on("error", () => opened!.terminate());
      opened.on("message", () => opened!.close(1003, "nothing is to be said here"));
      opened.once("close", keepAlive(opened));
      return opened;
    },
  };
}

function takeToken({ headers }: IncomingMessage): void {
  const [protocol, token, more] = headers["sec-websocket-protocol"]?.split(",").map((each) => each.trim()) ?? [];
  if (protocol === SUBPROTOCOL && token !== undefined && more === undefined)
    headers.authorization ??= `Bearer ${token}`;
}
