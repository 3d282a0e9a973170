import { type McpReply, postMcp } from "@tollgate/testkit";
import { afterEach } from "vitest";
import type { Installation } from "./installation.ts";

const MODERN = "2026-07-28";
const VERSION_KEY = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities";

/** An event stream, read as it comes. */
export interface EventReader {
  readonly status: number;
  readonly headers: Headers;
  readonly events: { readonly id?: string; readonly event: string; readonly data: string }[];
  /** The messages of the events that are some. */
  readonly messages: any[];
  readonly ids: (string | undefined)[];
  /** The other side has ended it. */
  readonly ended: boolean;
  /** Cuts the connection. */
  cut(): void;
}

const open = new Set<EventReader>();
/** Cuts what a test has left open. */
export function cutStreamsAfterEach(): void {
  afterEach(() => {
    for (const each of open) each.cut();
    open.clear();
  });
}

export async function readEvents(
  url: string,
  options: { headers?: Record<string, string>; token?: string; method?: string; body?: string } = {},
): Promise<EventReader> {
  const { token = "token", headers, ...request } = options;
  const cutting = new AbortController();
  const response = await fetch(url, {
    ...request,
    headers: { accept: "application/json, text/event-stream", authorization: `Bearer ${token}`, ...headers },
    signal: cutting.signal,
  });
  let ended = false;
  const events: EventReader["events"] = [];
  const reader: EventReader = {
    status: response.status,
    headers: response.headers,
    events,
    get messages() {
      return events
        .filter(({ event, data }) => event === "message" && data !== "")
        .map(({ data }) => JSON.parse(data) as unknown);
    },
    get ids() {
      return events.map(({ id }) => id);
    },
    get ended() {
      return ended;
    },
    cut: () => cutting.abort(),
  };
  open.add(reader);
  void (async () => {
    let text = "";
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      const blocks = `${text}${chunk}`.split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) if (!block.startsWith(":")) events.push(parseEvent(block));
    }
    ended = true;
  })().catch(() => undefined);
  return reader;
}

function parseEvent(block: string): EventReader["events"][number] {
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1];
  const id = field("id");
  return { ...(id === undefined ? {} : { id }), event: field("event") ?? "message", data: field("data") ?? "" };
}

/** A legacy client's session, which any replica serves. */
export interface ClientSession {
  readonly id: string;
  readonly opened: McpReply;
  request(method: string, params?: object, more?: { id?: string | number; replica?: number }): Promise<McpReply>;
  /** Any text, such as a notification, an answer or a batch. */
  post(message: unknown, replica?: number): Promise<McpReply>;
  /** A request whose answer is read as a stream. */
  stream(method: string, params: object, more?: { replica?: number; accept?: string }): Promise<EventReader>;
  /** The session's own stream, or the rest of another. */
  listen(more?: { replica?: number; lastEventId?: string; token?: string }): Promise<EventReader>;
  end(replica?: number): Promise<number>;
}

export async function beginSession(
  installation: Installation,
  options: { path?: string; token?: string; protocol?: string; capabilities?: object; headers?: object } = {},
): Promise<ClientSession> {
  const { path = "/mcp", token = "token", protocol = "2025-11-25", capabilities = {} } = options;
  const params = { protocolVersion: protocol, capabilities, clientInfo: { name: "test", version: "1.0" } };
  const at = (replica = 0) => ({ url: installation.url(path, replica), token });
  const initialize = JSON.stringify({ jsonrpc: "2.0", id: 0, method: "initialize", params });
  const opened = await postMcp(at(), initialize, { headers: { ...options.headers } });
  const id = opened.headers.get("mcp-session-id") ?? "";
  const headers = { "mcp-session-id": id, "mcp-protocol-version": protocol };
  let nextId = 1;
  const post = (message: unknown, replica?: number) =>
    postMcp(at(replica), typeof message === "string" ? message : JSON.stringify(message), { headers });
  return {
    id,
    opened,
    request: (method, given = {}, more = {}) =>
      post({ jsonrpc: "2.0", id: more.id ?? nextId++, method, params: given }, more.replica),
    post,
    stream: (method, given, { replica, accept } = {}) =>
      readEvents(at(replica).url, {
        method: "POST",
        token,
        headers: { ...headers, "content-type": "application/json", ...(accept === undefined ? {} : { accept }) },
        body: JSON.stringify({ jsonrpc: "2.0", id: nextId++, method, params: given }),
      }),
    listen: ({ replica, lastEventId, token: other = token } = {}) =>
      readEvents(at(replica).url, {
        token: other,
        headers: { ...headers, ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }) },
      }),
    async end(replica) {
      const { url } = at(replica);
      return (await fetch(url, { method: "DELETE", headers: { ...headers, authorization: `Bearer ${token}` } })).status;
    },
  };
}

export function modernFrame(method: string, params: Record<string, unknown> = {}, id: string | number = 1): object {
  const meta = { [VERSION_KEY]: MODERN, [CAPABILITIES_KEY]: {}, ...(params["_meta"] as object | undefined) };
  return { jsonrpc: "2.0", id, method, params: { ...params, _meta: meta } };
}

/** A request of 2026-07-28 with the headers that belong to it; `headers` change them. */
function modernHeaders(method: string, params: Record<string, unknown>): Record<string, string> {
  const name = params["name"] ?? params["uri"] ?? params["taskId"];
  return {
    "content-type": "application/json",
    "mcp-protocol-version": MODERN,
    "mcp-method": method,
    ...(typeof name === "string" ? { "mcp-name": name } : {}),
  };
}

export function postModern(
  url: string,
  method: string,
  params: Record<string, unknown> = {},
  more: { token?: string; headers?: Record<string, string> } = {},
): Promise<McpReply> {
  const headers = { ...modernHeaders(method, params), ...more.headers };
  return postMcp({ url, token: more.token ?? "token" }, JSON.stringify(modernFrame(method, params)), { headers });
}

export function streamModern(
  url: string,
  method: string,
  params: Record<string, unknown>,
  more: { token?: string; id?: string | number } = {},
): Promise<EventReader> {
  return readEvents(url, {
    method: "POST",
    ...(more.token === undefined ? {} : { token: more.token }),
    headers: modernHeaders(method, params),
    body: JSON.stringify(modernFrame(method, params, more.id)),
  });
}
