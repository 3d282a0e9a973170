import { urlToHttpOptions } from "node:url";
import { createHttpClient, type Exchange, type HttpRequest } from "./http-client.ts";
import { configuredHeaders, createRedaction, messageHeaders } from "./request-headers.ts";
import type { Outgoing } from "./transport.ts";

export const CONNECT_MS = 10_000;
const SILENCE_MS = 600_000;
const SESSION_ID = /^[\x21-\x7e]{1,1024}$/;

type Wanted = Pick<HttpRequest, "onResponse" | "onFailure"> & { readonly silenceMs?: number };

/** Where a server is asked over HTTP, and what every request to it carries. */
export interface HttpEndpoint {
  /** The server's own session id, "" where there is none. It is never a client's. */
  readonly session: string;
  readonly redact: (text: string) => string;
  /** False for what cannot be a session id. */
  setSession(id: string): boolean;
  post(message: Outgoing, wanted: Wanted): Exchange;
  /** A stream of the server; `resume` takes up one of a request after this event. */
  get(wanted: Wanted & { readonly resume?: boolean; readonly lastEventId?: string | undefined }): Exchange;
  delete(wanted: Wanted): Exchange;
  /** Goes to where a redirect points, when that is of the same origin: nobody else gets the configured headers. */
  move(location: string | undefined): boolean;
  /** Sends later messages elsewhere (HTTP+SSE). */
  pointTo(url: URL): void;
  close(): void;
}

export function openEndpoint(options: {
  url: string;
  headers: Readonly<Record<string, string>>;
  connectMs: number | undefined;
  silenceMs: number | undefined;
}): HttpEndpoint {
  let url = new URL(options.url);
  let place = urlToHttpOptions(url);
  let session = "";
  let protocol = "";
  const silenceMs = options.silenceMs ?? SILENCE_MS;
  const client = createHttpClient({ tls: url.protocol === "https:", connectMs: options.connectMs ?? CONNECT_MS });
  const configured = configuredHeaders(options.headers);
  const posted = {
    ...configured,
    accept: "application/json, text/event-stream",
    "content-type": "application/json",
  };
  const sessionHeader = () => (session === "" ? {} : { "mcp-session-id": session });
  const known = () => ({ ...sessionHeader(), ...(protocol === "" ? {} : { "mcp-protocol-version": protocol }) });

  return {
    get session() {
      return session;
    },
    redact: createRedaction(url, configured),
    setSession(id) {
      if (!SESSION_ID.test(id)) return false;
      session = id;
      return true;
    },
    post(message, wanted) {
      protocol = message.protocol;
      const headers = { ...posted, ...messageHeaders(message), ...sessionHeader() };
      const aside = message.frame.kind !== "request";
      return client.request({ silenceMs, ...wanted, place, method: "POST", headers, body: message.text, aside });
    },
    get({ resume = false, lastEventId, ...wanted }) {
      const headers: Record<string, string> = { ...configured, ...known(), accept: "text/event-stream" };
      if (lastEventId !== undefined) headers["last-event-id"] = lastEventId;
      // A stream of its own is silent for as long as there is nothing to say.
      return client.request({
        silenceMs: resume ? silenceMs : 0,
        ...wanted,
        place,
        method: "GET",
        headers,
        aside: !resume,
      });
    },
    delete(wanted) {
      const headers = { ...configured, ...known() };
      return client.request({ silenceMs, ...wanted, place, method: "DELETE", headers, aside: true });
    },
    move(location) {
      if (location === undefined || !URL.canParse(location, url.href)) return false;
      const target = new URL(location, url);
      if (target.origin !== url.origin) return false;
      this.pointTo(target);
      return true;
    },
    pointTo(target) {
      url = target;
      place = urlToHttpOptions(url);
    },
    close: () => client.close(),
  };
}
