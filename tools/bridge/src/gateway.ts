import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from "node:http";

const connectMsMax = 10_000;
/** An idle connection is closed before common servers close theirs (5 s), so that a call does not meet a dying one. */
const idleConnectionMs = 4_000;

export interface GatewayOptions {
  readonly url: URL;
  readonly token: string;
  /** How long the gateway may be silent while an answer is awaited. */
  readonly silenceMsMax: number;
  /** The interval of TCP keep-alive probes, so that a long call outlives an idle NAT or firewall. */
  readonly keepaliveMs: number;
  readonly version: string;
}

export interface Post {
  readonly body: Buffer;
  readonly headers: OutgoingHttpHeaders;
  readonly signal: AbortSignal;
  /** A subscription may be silent for as long as it lives. */
  readonly mayBeSilent: boolean;
  /** The whole request has been given to the operating system. */
  readonly onSent?: () => void;
}

/** The gateway's Streamable HTTP endpoint. */
export interface Gateway {
  readonly url: URL;
  /** Resolves with the response's head. Throws SendError; the body's stream breaks with the socket's error or SilenceError. */
  post(post: Post): Promise<IncomingMessage>;
  /** Ends a session; an endpoint that is gone or refuses is no failure. */
  endSession(headers: OutgoingHttpHeaders, msMax: number): Promise<void>;
  close(): void;
}

export class SilenceError extends Error {}

export class SendError extends Error {
  /** False only when it is certain that nothing reached the gateway: the connection was never made. */
  readonly connected: boolean;

  constructor(cause: Error, connected: boolean) {
    super(reasonOf(cause), { cause });
    this.connected = connected;
  }
}

export async function openGateway(options: GatewayOptions): Promise<Gateway> {
  const { url } = options;
  // node:http rather than fetch: it starts faster and tells a refused connection from a broken one.
  const transport = url.protocol === "https:" ? await import("node:https") : await import("node:http");
  const agent = new transport.Agent({
    keepAlive: true,
    keepAliveMsecs: options.keepaliveMs,
    timeout: idleConnectionMs,
  });
  const common = {
    authorization: `Bearer ${options.token}`,
    accept: "application/json, text/event-stream",
    "user-agent": `tollgate-bridge/${options.version}`,
  };
  return {
    url,
    post: (post) => {
      const headers = {
        ...common,
        ...post.headers,
        "content-type": "application/json",
        "content-length": post.body.length,
      };
      const timeout = post.mayBeSilent ? 0 : options.silenceMsMax;
      const request = transport.request(url, {
        method: "POST",
        agent,
        headers,
        signal: post.signal,
        timeout,
      });
      return send(request, post);
    },
    endSession: (headers, msMax) =>
      new Promise((resolve) => {
        const signal = AbortSignal.timeout(msMax);
        const request = transport.request(url, {
          method: "DELETE",
          agent,
          headers: { ...common, ...headers },
          signal,
        });
        request.on("response", (response) => response.resume()).on("error", () => resolve());
        request.on("close", resolve).end();
      }),
    close: () => agent.destroy(),
  };
}

function send(request: ClientRequest, post: Post): Promise<IncomingMessage> {
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
      if (request.reusedSocket) onConnected();
      else socket.once(request.protocol === "https:" ? "secureConnect" : "connect", onConnected);
    });
    request.on("finish", () => post.onSent?.());
    request.on("timeout", () => {
      // The agent's own limit on idle connections fires here too, while a request waits for its socket.
      if (!connected && !request.reusedSocket) return;
      (response ?? request).destroy(new SilenceError("the gateway fell silent"));
    });
    request.on("response", (head) => {
      response = head;
      resolve(head);
    });
    request.on("error", (error) => {
      clearTimeout(connectTimer);
      reject(new SendError(error, connected));
    });
    request.end(post.body);
  });
}

/** An error in a few words. A name with several addresses fails with an AggregateError, whose own message is empty. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== "") return error.message;
  const first = error instanceof AggregateError ? error.errors[0] : undefined;
  return first instanceof Error ? first.message : "code" in error ? String(error.code) : error.name;
}
