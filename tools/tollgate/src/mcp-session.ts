import { AppError } from "@tollgate/errors";
import { askGateway, type Gateway } from "./gateway-http.ts";

/** Of the revisions with sessions: a tool's arguments need no headers of their own there. */
const PROTOCOL_VERSION = "2025-11-25";
const CALL_TIMEOUT_MS = 300_000;
const CLIENT = { name: "tollgate", version: "1" };

interface Response {
  readonly id?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly message: string };
}

/** One client's session at the gateway, on the route of one server. */
export interface McpSession {
  /** @throws {AppError} unavailable with what the gateway or the server said in the place of a result */
  call(tool: string, args: unknown): Promise<unknown>;
  request(method: string, params: object): Promise<unknown>;
  close(): Promise<void>;
}

/** Without any capabilities: the server has nobody to ask. */
export async function openMcpSession(options: { gateway: Gateway; path: string; token: string }): Promise<McpSession> {
  const { gateway, path, token } = options;
  let nextId = 1;
  let session: Record<string, string> = {};

  async function send(message: object): Promise<{ headers: Headers; response: Response | undefined }> {
    const { status, headers, text } = await askGateway(gateway, path, {
      method: "POST",
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        ...session,
      },
      body: JSON.stringify({ jsonrpc: "2.0", ...message }),
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
    });
    const response = responseIn(text, headers.get("content-type") ?? "");
    if (status >= 300 || response?.error !== undefined)
      throw new AppError("unavailable", response?.error?.message ?? `the gateway answered ${status}`);
    return { headers, response };
  }

  const who = { protocolVersion: PROTOCOL_VERSION, capabilities: {}, clientInfo: CLIENT };
  const { headers } = await send({ id: nextId++, method: "initialize", params: who });
  const id = headers.get("mcp-session-id");
  session = { "mcp-protocol-version": PROTOCOL_VERSION, ...(id === null ? {} : { "mcp-session-id": id }) };
  await send({ method: "notifications/initialized" });

  async function request(method: string, params: object): Promise<unknown> {
    const { response } = await send({ id: nextId++, method, params });
    if (response === undefined) throw new AppError("unavailable", "the gateway gave no answer");
    return response.result;
  }

  return {
    request,
    call: (tool, args) => request("tools/call", { name: tool, ...(args === undefined ? {} : { arguments: args }) }),
    async close() {
      const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
      const given = { authorization: `Bearer ${token}`, ...session };
      await askGateway(gateway, path, { method: "DELETE", headers: given, signal }).catch(() => undefined);
    },
  };
}

/** The answer among what may have come before it: progress, log messages. */
function responseIn(text: string, contentType: string): Response | undefined {
  const messages = contentType.startsWith("text/event-stream")
    ? text
        .split("\n")
        .filter((line) => line.startsWith("data:") && line.length > "data: ".length)
        .map((line) => line.slice("data:".length))
    : [text].filter((body) => contentType.includes("json") && body !== "");
  const parsed = messages.map((message) => JSON.parse(message) as Response);
  return parsed.find((message) => "result" in message || "error" in message);
}
