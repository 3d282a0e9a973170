import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { AppError, httpStatus, toAppError } from "@tollgate/errors";
import { parseFrame, type RequestId } from "@tollgate/mcp";
import type { FastifyInstance } from "fastify";
import { type WebSocket, WebSocketServer } from "ws";
import { checkScope, type Scope } from "../domain/catalogue.ts";
import { errorText } from "./call-response.ts";
import type { CallSink } from "./calls.ts";
import type { Caller } from "./callers.ts";
import { keepAlive } from "./keep-alive.ts";
import { challengeFor, resolveCaller } from "./mcp-caller.ts";
import { type McpContext, type Outlet, toRefusal } from "./mcp-exchange.ts";
import { type McpTransportOptions, scopeOf } from "./mcp-request.ts";
import { answerOn } from "./mcp-sse.ts";

const SUBPROTOCOL = "mcp";
const BUFFER_MAX_BYTES = 8 * 1024 * 1024;
const GOING_AWAY = 1001;
const REVOKED = 4401;
const PATH = /^\/mcp(?:\/([^/]+))?(?:\/([^/]+))?\/ws$/;

/** MCP over WebSocket: one frame per text message, both ways, both eras. The connection is the session. */
export function registerWebSocket(app: FastifyInstance, options: McpTransportOptions): void {
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: options.bodyMaxBytes,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });
  app.server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // api-upgrades.ts gives these to the API's routes.
    if (request.url?.startsWith("/api/")) return;
    socket.on("error", () => socket.destroy());
    admit(request, options).then(
      ({ caller, scope }) =>
        server.handleUpgrade(request, socket, head, (webSocket) =>
          serve(webSocket, { request, caller, scope }, options),
        ),
      (error: unknown) => refuseUpgrade(socket, toAppError(error), { request, options }),
    );
  });
  app.addHook("preClose", (done) => {
    server.clients.forEach(goAway);
    done();
  });
}

async function admit(
  request: IncomingMessage,
  options: McpTransportOptions,
): Promise<{ caller: Caller; scope: Scope }> {
  const { pathname } = new URL(request.url ?? "/", "http://local");
  const path = PATH.exec(pathname);
  if (!path) throw new AppError("not_found", `${pathname} is no place for WebSocket; /mcp/ws is`);
  const offered = request.headers["sec-websocket-protocol"];
  if (offered !== undefined && !offered.split(",").some((each) => each.trim() === SUBPROTOCOL))
    throw new AppError("invalid_argument", `the subprotocol has to be "${SUBPROTOCOL}"`);
  const scope = scopeOf({ group: path[1], server: path[2] === undefined ? undefined : decoded(path[2]) });
  const caller = await resolveCaller(request, { scope, transport: "websocket" }, options);
  const astray = checkScope(options.registry.catalogue, scope);
  if (astray !== undefined) throw new AppError("not_found", astray);
  return { caller, scope };
}

/** As Fastify does with the other transports' routes. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function refuseUpgrade(
  socket: Duplex,
  error: AppError,
  { request, options }: { request: IncomingMessage; options: McpTransportOptions },
): void {
  const challenge = challengeFor(error, request, options.resource);
  const retryAfter = error.details["retryAfterSeconds"];
  const body = JSON.stringify({ error: error.message });
  const headers = [
    "content-type: application/json",
    "connection: close",
    `content-length: ${Buffer.byteLength(body)}`,
    ...(challenge === undefined ? [] : [`www-authenticate: ${challenge}`]),
    ...(typeof retryAfter === "number" ? [`retry-after: ${retryAfter}`] : []),
  ];
  socket.end(`HTTP/1.1 ${httpStatus(error.code)} Refused\r\n${headers.join("\r\n")}\r\n\r\n${body}`);
}

interface Opened {
  readonly request: IncomingMessage;
  readonly caller: Caller;
  readonly scope: Scope;
}

function serve(socket: WebSocket, { request, caller, scope }: Opened, options: McpTransportOptions): void {
  const { mcp, calls, streams, newSessionId, log } = options;
  const sessionId = newSessionId();
  /** Requests of modern clients under way, which `notifications/cancelled` names: here it is no HTTP response to close. */
  const underWay = new Map<RequestId, UnderWay>();
  let stream: { close(): void } | undefined;
  let hasSession = false;

  const outlet: Outlet = {
    send(frame) {
      // Whoever does not read is cut off before it fills the memory.
      if (socket.bufferedAmount > BUFFER_MAX_BYTES) socket.terminate();
      else if (socket.readyState === socket.OPEN) socket.send(frame);
    },
    close: () => (options.stopping.aborted ? goAway(socket) : socket.close(REVOKED, "the session has ended")),
  };

  async function context(text: string): Promise<McpContext> {
    const { revision } = options.policy;
    // For each message: what the connection was opened with may have expired, without a change of policy.
    const principal = await caller.authenticate();
    const { headers } = request;
    return {
      ...caller,
      principal,
      revision,
      scope,
      overHttp: false,
      sessionId,
      headers,
      bytes: Buffer.byteLength(text),
    };
  }

  async function receive(text: string): Promise<void> {
    const parsed = parseFrame(text);
    if (!parsed.ok) return outlet.send(errorText(parsed.id, { code: parsed.code, message: parsed.reason }));
    const { frame } = parsed;
    const requestId = frame.kind === "request" ? frame.id : undefined;
    if (frame.kind === "notification" && frame.method === "notifications/cancelled")
      drop(underWay.get(frame.params?.["requestId"] as RequestId));
    const own: UnderWay = { dropped: false, onDrop: () => undefined };
    if (requestId !== undefined) underWay.set(requestId, own);
    const forget = () => requestId !== undefined && underWay.get(requestId) === own && underWay.delete(requestId);
    const fail = (error: unknown) => {
      forget();
      if (requestId !== undefined) outlet.send(errorText(requestId, toRefusal(error)));
    };
    const sink: CallSink = {
      onWaiting: (giveUp) => whenDropped(own, giveUp),
      onFrame: (each) => outlet.send(each),
      onFinal: (each) => (forget(), outlet.send(each)),
      onFailure: fail,
    };
    try {
      const about = await context(text);
      const answer = await mcp.handle(frame, about, () => sink);
      if (answer.kind === "stream") return listen(own, answer.open, forget);
      if (answer.kind !== "call") forget();
      else if (answer.era === "modern") whenDropped(own, () => calls.cancel(answer.callId));
      answerOn(answer, outlet.send);
      if (answer.kind === "result" && answer.session !== undefined && !hasSession) await begin(about);
    } catch (error) {
      fail(error);
      if (toAppError(error).code === "unauthenticated") socket.close(REVOKED, "the credentials are not good any more");
    }
  }

  function listen(own: UnderWay, open: (outlet: Outlet) => { close(): void }, forget: () => void): void {
    const subscription = open({ send: outlet.send, close: forget });
    whenDropped(own, () => (subscription.close(), forget()));
  }

  async function begin(about: McpContext): Promise<void> {
    hasSession = true;
    const open = await mcp.findSession(sessionId, about.principal);
    stream = open && streams.open(open, { context: about, outlet });
    // It may have gone meanwhile.
    if (socket.readyState !== socket.OPEN) leave();
  }

  function leave(): void {
    for (const each of underWay.values()) drop(each);
    stream?.close();
    if (hasSession)
      mcp
        .endSession(sessionId, caller.principal)
        .catch((error: unknown) => log.warn({ err: error }, "a session stays"));
  }

  socket.on("message", (data, isBinary) => {
    if (isBinary) return socket.close(1003, "messages are text");
    void receive((data as Buffer).toString("utf8"));
  });
  const stopPinging = keepAlive(socket);
  socket.on("error", (error) => log.debug({ err: error }, "a WebSocket failed"));
  socket.once("close", () => {
    stopPinging();
    leave();
  });
}

function goAway(socket: WebSocket): void {
  socket.close(GOING_AWAY, "the gateway is stopping");
}

interface UnderWay {
  /** Its client does not want the answer any more. */
  dropped: boolean;
  onDrop: () => void;
}

function drop(request: UnderWay | undefined): void {
  if (!request || request.dropped) return;
  request.dropped = true;
  request.onDrop();
}

function whenDropped(request: UnderWay, act: () => void): void {
  request.onDrop = act;
  // It may have been dropped while it was being decided.
  if (request.dropped) act();
}
