interface Posted {
  readonly status: number;
  readonly headers: Headers;
  /** The last message of the answer, if it has any. */
  readonly last: any;
}

export async function post(url: string, message: object, headers: Record<string, string> = {}): Promise<Posted> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json, text/event-stream", ...headers },
    body: JSON.stringify({ jsonrpc: "2.0", ...message }),
  });
  const text = await response.text();
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
  // The event that opens a stream has no data.
  const texts = isStream ? [...text.matchAll(/^data: (.+)$/gm)].map(([, data]) => data!) : [text];
  const last = texts.at(-1) ?? "";
  return { status: response.status, headers: response.headers, last: last === "" ? undefined : JSON.parse(last) };
}

export const initialize = {
  id: 0,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1.0" } },
};

export interface HttpSession {
  readonly id: string;
  readonly opened: any;
  readonly headers: Record<string, string>;
  readonly request: (method: string, params?: Record<string, unknown>) => Promise<Posted>;
}

export async function openSession(url: string): Promise<HttpSession> {
  const { last, headers: given } = await post(url, initialize);
  const id = given.get("mcp-session-id") ?? "";
  const headers = { "mcp-session-id": id, "mcp-protocol-version": "2025-11-25" };
  await post(url, { method: "notifications/initialized" }, headers);
  let nextId = 1;
  const request: HttpSession["request"] = (method, params = {}) => post(url, { id: nextId++, method, params }, headers);
  return { id, opened: last, headers, request };
}

export async function askModern(url: string, method: string, params: Record<string, unknown> = {}): Promise<any> {
  const _meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const name = params["name"] ?? params["uri"];
  const named = typeof name === "string" ? { "mcp-name": name } : {};
  const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": method, ...named };
  return (await post(url, { id: "a", method, params: { ...params, _meta } }, headers)).last;
}
