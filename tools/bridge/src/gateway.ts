import type { Agent, ClientRequest, IncomingMessage, OutgoingHttpHeaders } from "node:http";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { workspaceHeader } from "./headers.ts";
import { SendError, SilenceError } from "./link-error.ts";
import { proxySettings } from "./proxy.ts";

export const connectMsMax = 10_000;
/** An idle connection is closed before common servers close theirs (5 s), so that a call does not meet a dying one. */
const idleConnectionMs = 4_000;

export interface GatewayOptions {
  readonly url: URL;
  readonly token: string;
  /** How long the gateway may be silent while an answer is awaited. */
  readonly silenceMsMax: number;
  /** The interval of TCP keep-alive probes, so that a long call outlives an idle NAT or firewall. */
  readonly keepaliveMs: number;
  /** The environment's variables that name proxies. */
  readonly proxyEnv: Readonly<Record<string, string | undefined>>;
  /** The folder that the client works in, if the gateway may know it. */
  readonly workspace: string | undefined;
  readonly version: string;
}

export interface GatewayRequest {
  readonly method: "POST" | "GET";
  /** Of a POST. */
  readonly body?: Buffer;
  readonly headers: OutgoingHttpHeaders;
  readonly signal: AbortSignal;
  /** A stream that only brings news may be silent for as long as it lives. */
  readonly mayBeSilent: boolean;
  /** The whole request has been given to the operating system. */
  readonly onSent?: () => void;
}

/** The gateway's Streamable HTTP endpoint. */
export interface Gateway {
  readonly url: URL;
  /** Resolves with the response's head. Throws SendError; the body's stream breaks with the socket's error or SilenceError. */
  request(request: GatewayRequest): Promise<IncomingMessage>;
  /** Ends a session; an endpoint that is gone or refuses is no failure. */
  endSession(headers: OutgoingHttpHeaders, msMax: number): Promise<void>;
  readonly close: () => void;
}

/** What every request says of the bridge, whatever it is about. */
export function identityHeaders(options: GatewayOptions): Record<string, string> {
  return {
    authorization: `Bearer ${options.token}`,
    "user-agent": `tollgate-bridge/${options.version}`,
    ...workspaceHeader(options.workspace),
  };
}

/** The agent that makes the connections, through a proxy where the environment names one. */
export async function openAgent(options: GatewayOptions): Promise<Agent> {
  const transport = await transportOf(options.url);
  const proxyEnv = proxySettings(options.url, options.proxyEnv);
  const settings = {
    keepAlive: true,
    keepAliveMsecs: options.keepaliveMs,
    timeout: idleConnectionMs,
    ...(proxyEnv && { proxyEnv }),
  };
  return new transport.Agent(settings);
}

/** node:http rather than fetch: it starts faster and tells a refused connection from a broken one. */
async function transportOf(url: URL) {
  return ["https:", "wss:"].includes(url.protocol) ? import("node:https") : import("node:http");
}

export async function openGateway(options: GatewayOptions): Promise<Gateway> {
  const { url } = options;
  const transport = await transportOf(url);
  const agent = await openAgent(options);
  const common = identityHeaders(options);
  return {
    url,
    request: (request) => {
      const { method, body, signal } = request;
      const headers = {
        ...common,
        accept: method === "GET" ? "text/event-stream" : "application/json, text/event-stream",
        ...request.headers,
        ...(body && { "content-type": "application/json", "content-length": body.length }),
      };
      const timeout = request.mayBeSilent ? 0 : options.silenceMsMax;
      return send(transport.request(url, { method, agent, headers, signal, timeout }), request);
    },
    endSession: (headers, msMax) =>
      new Promise((resolve) => {
        const request = transport.request(url, {
          method: "DELETE",
          agent,
          headers: { ...common, accept: "application/json", ...headers },
          signal: AbortSignal.timeout(msMax),
        });
        request.on("response", (response) => response.resume()).on("error", () => resolve());
        request.on("close", resolve).end();
      }),
    close: () => agent.destroy(),
  };
}

function send(request: ClientRequest, { body, onSent }: GatewayRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    let connected = false;
    let response: IncomingMessage | undefined;
    const connectTimer = setTimeout(
      () => request.destroy(new Error(`no connection within ${connectMsMax} ms`)),
      connectMsMax,
    );
    const onConnected = (): void => {
      connected = true;
      clearTimeout(connectTimer);
    };
    request.on("socket", (socket) => {
      const isSecure = request.protocol === "https:";
      // A tunnel through a proxy is ready before its request gets it.
      const isReady = isSecure ? "getCipher" in socket && isHandshaken(socket) : !socket.connecting;
      if (request.reusedSocket || isReady) onConnected();
      else socket.once(isSecure ? "secureConnect" : "connect", onConnected);
    });
    request.on("finish", () => onSent?.());
    request.on("timeout", () => {
      // The agent's own limit on idle connections fires here too, while a request waits for its socket.
      if (!connected && !request.reusedSocket) return;
      (response ?? request).destroy(new SilenceError("the gateway fell silent"));
    });
    request.on("response", (head) => {
      onConnected();
      response = head;
      resolve(head);
    });
    request.on("error", (error) => {
      clearTimeout(connectTimer);
      reject(new SendError(error, connected));
    });
    request.end(body);
  });
}

/** The protocol that both sides have agreed on, or that there is none, is known once the handshake is over. */
function isHandshaken(socket: Socket & Partial<Pick<TLSSocket, "alpnProtocol">>): boolean {
  return (socket.alpnProtocol ?? null) !== null;
}
