import {
  Agent,
  type ClientRequest,
  type IncomingMessage,
  request as httpRequest,
  type RequestOptions,
} from "node:http";
import { Agent as TlsAgent, request as httpsRequest } from "node:https";

const SOCKETS_MAX = 256;
/** Of what must not wait behind requests: a server may need our answer to finish one of them. */
const ASIDE_SOCKETS_MAX = 64;
/**
 * Shorter than the five seconds after which most servers close an idle connection: a request on one that is just
 * being closed is lost without anybody knowing whether it was taken.
 */
const IDLE_SOCKET_MS = 4_000;

export interface HttpRequest {
  /** As Node takes it (`urlToHttpOptions`): reading a url anew for every request costs more than the rest. */
  readonly place: RequestOptions;
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Not to wait behind requests that keep their connections. */
  readonly aside: boolean;
  /** How long nothing at all may come; 0: without end, and TCP notices when the server is gone. */
  readonly silenceMs: number;
  readonly onResponse: (response: IncomingMessage) => void;
  /** No whole response will come: why, after "the server". Once, and not after `abort`. */
  readonly onFailure: (reason: string, delivered: boolean) => void;
}

/** A request under way. */
export interface Exchange {
  /** Closes the connection unless the response is complete; nothing is reported after this. */
  abort(): void;
  /** The answer is there: the rest of the response has this long to end by itself. */
  finishWithin(ms: number): void;
}

/** HTTP over kept connections that are used for one server only. Redirects are responses like others. */
export interface HttpClient {
  request(options: HttpRequest): Exchange;
  close(): void;
}

/** @param options.ca certificates in PEM form in place of those that Node trusts; "" for these */
export function createHttpClient(options: { tls: boolean; connectMs: number; ca?: string }): HttpClient {
  const { tls, connectMs, ca = "" } = options;
  const open = tls ? httpsRequest : httpRequest;
  const agentOf = (maxSockets: number) => {
    const limits = { keepAlive: true, timeout: IDLE_SOCKET_MS, maxSockets, maxFreeSockets: maxSockets };
    return tls ? new TlsAgent(ca === "" ? limits : { ...limits, ca }) : new Agent(limits);
  };
  const agents = { requests: agentOf(SOCKETS_MAX), aside: agentOf(ASIDE_SOCKETS_MAX) };
  return {
    request(wanted) {
      const { place, method, headers, silenceMs: timeout } = wanted;
      const agent = wanted.aside ? agents.aside : agents.requests;
      try {
        return follow(open({ ...place, method, headers, agent, timeout }), wanted, { tls, connectMs });
      } catch (error) {
        // Node names a header with characters that cannot be sent, and not its value.
        const reason = `cannot be asked: ${(error as Error).message}`;
        const failure = setImmediate(() => wanted.onFailure(reason, false));
        return { abort: () => clearImmediate(failure), finishWithin: () => undefined };
      }
    },
    close() {
      agents.requests.destroy();
      agents.aside.destroy();
    },
  };
}

function follow(request: ClientRequest, wanted: HttpRequest, options: { tls: boolean; connectMs: number }): Exchange {
  // As long as the connection is not made, the request has certainly not left.
  let delivered = false;
  let over = false;
  let connecting: NodeJS.Timeout | undefined;
  const fail = (reason: string) => {
    if (over) return;
    abort();
    wanted.onFailure(reason, delivered);
  };
  const abort = () => {
    over = true;
    clearTimeout(connecting);
    request.destroy();
  };
  request.once("socket", (socket) => {
    if (over || !socket.connecting) return void (delivered = true);
    connecting = setTimeout(() => fail(`could not be reached within ${options.connectMs} ms`), options.connectMs);
    socket.once(options.tls ? "secureConnect" : "connect", () => {
      delivered = true;
      clearTimeout(connecting);
    });
  });
  request.on("timeout", () => fail(`said nothing for ${wanted.silenceMs} ms`));
  request.on("error", (error) => fail(failureOf(error, delivered)));
  request.on("response", (response) => {
    response.on("error", (error) => fail(failureOf(error, true)));
    if (over) response.resume();
    else wanted.onResponse(response);
  });
  request.end(wanted.body);
  return {
    abort,
    finishWithin(ms) {
      over = true;
      request.setTimeout(ms, () => request.destroy());
    },
  };
}

function failureOf(error: NodeJS.ErrnoException, delivered: boolean): string {
  if (!delivered) return `could not be reached: ${error.message}`;
  return error.code === "ECONNRESET" ? "closed the connection" : `broke the connection: ${error.message}`;
}
