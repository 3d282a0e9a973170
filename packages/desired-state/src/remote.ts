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
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
/** What Node sends in a header. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** What the connection itself or MCP says in headers. */
const OWN_HEADER =
  /^(?:host|connection|keep-alive|upgrade|te|trailer|transfer-encoding|expect|accept|accept-encoding|content-.*|last-event-id|mcp-.*|sec-websocket-.*)$/i;

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

export const headersSchema = z
  .record(
    z
      .string()
      .regex(HEADER_NAME, "is not a name for a header")
      .refine((name) => !OWN_HEADER.test(name), "is a header that the connection itself sets"),
    z.string().max(HEADER_MAX_CHARS).regex(HEADER_VALUE, "holds a line break or what else a header cannot carry"),
  )
  .refine((headers) => {
    const names = Object.keys(headers).map((name) => name.toLowerCase());
    return new Set(names).size === names.length;
  }, "has a name twice: upper and lower case are the same");

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
  const { protocol, hostname } = new URL(url);
  const overWebsocket = WEBSOCKET_PROTOCOLS.has(protocol);
  if (transport !== "auto" && overWebsocket !== (transport === "websocket")) {
    const needed = overWebsocket ? "http:// or https://" : "ws:// or wss://";
    return { key: "transport", mistake: `does not go with the url: ${transport} needs one with ${needed}` };
  }
  const exposed = UNENCRYPTED_PROTOCOLS.has(protocol) && !LOOPBACK.test(hostname) && Object.keys(headers).length > 0;
  return { url, transport: overWebsocket ? "websocket" : transport, exposed };
}
