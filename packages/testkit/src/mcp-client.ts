/** What a test sees of one answer: the HTTP side and every JSON-RPC message, in order. */
export interface McpReply {
  readonly status: number;
  readonly headers: Headers;
  /** The answer's text as it came. */
  readonly text: string;
  readonly messages: any[];
  /** The last message. */
  readonly last: any;
}

const MODERN = "2026-07-28";

export interface McpClientOptions {
  readonly url: string;
  readonly token: string | undefined;
  /** Sent with each request, such as whom a proxy has it from. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Posts one text to an MCP endpoint, with the headers that both eras need. */
export async function postMcp(
  { url, token, headers }: McpClientOptions,
  body: string,
  options: { headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<McpReply> {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
      ...options.headers,
    },
    body,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const text = await response.text();
  const streamed = response.headers.get("content-type")?.startsWith("text/event-stream") ?? false;
  const texts = streamed ? [...text.matchAll(/^data: (.*)$/gm)].map((match) => match[1]!) : text === "" ? [] : [text];
  const messages = texts.map((each) => JSON.parse(each) as unknown);
  return { status: response.status, headers: response.headers, text, messages, last: messages.at(-1) };
}

/** A client of 2026-07-28: stateless. */
export function modernClient(options: McpClientOptions) {
  let nextId = 1;
  return {
    request(
      method: string,
      params: Record<string, unknown> = {},
      more: { id?: string | number; signal?: AbortSignal } = {},
    ): Promise<McpReply> {
      const meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
      };
      const id = more.id ?? nextId++;
      const given = params["_meta"] ?? {};
      const body = JSON.stringify({ jsonrpc: "2.0", id, method, params: { ...params, _meta: { ...meta, ...given } } });
      const name = typeof params["name"] === "string" ? { "mcp-name": params["name"] } : {};
      const headers = { "mcp-protocol-version": MODERN, "mcp-method": method, ...name };
      return postMcp(options, body, { headers, ...(more.signal ? { signal: more.signal } : {}) });
    },
  };
}

/** A client of 2025-11-25: begins with initialize and keeps its session. */
export async function legacyClient(options: McpClientOptions) {
  let nextId = 1;
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1.0" } };
  const opened = await postMcp(options, JSON.stringify({ jsonrpc: "2.0", id: 0, method: "initialize", params }));
  const session = opened.headers.get("mcp-session-id") ?? "";
  const headers = { "mcp-session-id": session, "mcp-protocol-version": "2025-11-25" };
  const post = (message: object, signal?: AbortSignal) =>
    postMcp(options, JSON.stringify({ jsonrpc: "2.0", ...message }), { headers, ...(signal ? { signal } : {}) });
  await post({ method: "notifications/initialized" });
  return {
    opened,
    session,
    request: (
      method: string,
      given?: Record<string, unknown>,
      more: { id?: string | number; signal?: AbortSignal } = {},
    ) => post({ id: more.id ?? nextId++, method, ...(given === undefined ? {} : { params: given }) }, more.signal),
    notify: (method: string, given: Record<string, unknown>) => post({ method, params: given }),
  };
}
