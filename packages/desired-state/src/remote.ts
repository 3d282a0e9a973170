import { z } from "zod";
import type { Transport, TRANSPORTS } from "./state.ts";

// Messages never repeat a value: it may be a secret.

const URL_MAX_CHARS = 8_192;
const HEADER_MAX_CHARS = 16_384;
const PROTOCOLS: ReadonlySet<string> = new Set(["http:", "https:", "ws:", "wss:"]);
const WEBSOCKET_PROTOCOLS: ReadonlySet<string> = new Set(["ws:", "wss:"]);
const UNENCRYPTED_PROTOCOLS: ReadonlySet<string> = new Set(["http:", "ws:"]);
const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/;
/** A token of RFC 9110, section 5.6.2. */
export const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
/** What Node sends in a header. */
export const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** What the connection itself or MCP says in headers. */
const OWN_HEADER =
  /^(?:host|connection|keep-alive|upgrade|te|trailer|transfer-encoding|expect|accept|accept-encoding|content-.*|last-event-id|mcp-.*|sec-websocket-.*)$/i;
/** What the connection itself says; an API may want an Accept of its own. */
const CONNECTION_HEADER =
  /^(?:host|connection|keep-alive|upgrade|te|trailer|transfer-encoding|expect|accept-encoding|content-.*|proxy-.*)$/i;

export const urlSchema = z
  .string()
  .max(URL_MAX_CHARS)
  .superRefine((text, context) => {
    const url = /^\S+$/.test(text) ? URL.parse(text) : null;
    if (url === null || !PROTOCOLS.has(url.protocol) || url.hostname === "") {
      context.addIssue("has to be a URL that begins with http://, https://, ws:// or wss://");
    } else if (url.username !== "" || url.password !== "") {
      context.addIssue("must not hold a user or a password; give them in headers");
    }
  });

/** Of an API or an issuer of its tokens. */
export const httpUrlSchema = z
  .string()
  .max(URL_MAX_CHARS)
  .superRefine((text, context) => {
    const url = /^\S+$/.test(text) ? URL.parse(text) : null;
    if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === "") {
      context.addIssue("has to be a URL that begins with http:// or https://");
    } else if (url.username !== "" || url.password !== "") {
      context.addIssue("must not hold a user or a password; give them in auth");
    } else if (/[?#]/.test(text)) {
      context.addIssue("must not hold a query or a fragment");
    }
  });

function headersBut(own: RegExp) {
  return z
    .record(
      z
        .string()
        .regex(HEADER_NAME, "is not a name for a header")
        .refine((name) => !own.test(name), "is a header that the connection itself sets"),
      z.string().max(HEADER_MAX_CHARS).regex(HEADER_VALUE, "holds a line break or what else a header cannot carry"),
    )
    .refine((headers) => {
      const names = Object.keys(headers).map((name) => name.toLowerCase());
      return new Set(names).size === names.length;
    }, "has a name twice: upper and lower case are the same");
}

export const headersSchema = headersBut(OWN_HEADER);
export const connectorHeadersSchema = headersBut(CONNECTION_HEADER);
/** Whether an operation's parameter may be a header of this name. */
export const isOwnHeader = (name: string): boolean => CONNECTION_HEADER.test(name);

export interface Connection {
  readonly url: string;
  readonly transport: Transport;
  /** Secrets may travel unencrypted to another machine. */
  readonly exposed: boolean;
}

/** `auto` becomes `websocket` where the url says so. A string says what is wrong, and in which key. */
export function normaliseConnection(
  url: string,
  transport: (typeof TRANSPORTS)[number],
  headers: Readonly<Record<string, string>>,
): Connection | { readonly key: "transport"; readonly mistake: string } {
  const { protocol } = new URL(url);
  const overWebsocket = WEBSOCKET_PROTOCOLS.has(protocol);
  if (transport !== "auto" && overWebsocket !== (transport === "websocket")) {
    const needed = overWebsocket ? "http:// or https://" : "ws:// or wss://";
    return { key: "transport", mistake: `does not go with the url: ${transport} needs one with ${needed}` };
  }
  const exposed = isExposed(url) && Object.keys(headers).length > 0;
  return { url, transport: overWebsocket ? "websocket" : transport, exposed };
}

/** What is sent there travels unencrypted to another machine. */
export function isExposed(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return UNENCRYPTED_PROTOCOLS.has(protocol) && !LOOPBACK.test(hostname);
}
