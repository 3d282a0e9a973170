import { AppError } from "@tollgate/errors";
import {
  CLIENT_CAPABILITIES_KEY,
  CLIENT_INFO_KEY,
  type Era,
  LATEST_LEGACY_REVISION,
  LEGACY_REVISIONS,
  MODERN_REVISION,
  PROTOCOL_VERSION_KEY,
  type ResponseFrame,
  RPC,
  SERVER_INFO_KEY,
  resultItems,
} from "@tollgate/mcp";
import type { Wire } from "./wire.ts";

/** How long a server may take to say that it does not know `server/discover`, before it is taken for a legacy one. */
const PROBE_TIMEOUT_MS = 2_000;
const TOOLS_MAX = 2_000;
const PAGES_MAX = 100;
const CLIENT_INFO = { name: "tollgate", version: "0.1.0" };

/** What each request to a modern server says of the client. */
export const MODERN_META = {
  [PROTOCOL_VERSION_KEY]: MODERN_REVISION,
  [CLIENT_CAPABILITIES_KEY]: {},
  [CLIENT_INFO_KEY]: CLIENT_INFO,
};

export interface Handshake {
  readonly era: Era;
  /** As JSON. */
  readonly serverInfo: string;
}

/**
 * `server/discover` first, unless the server is known to be a legacy one; `initialize` where it does not know that.
 * @throws {AppError} `unavailable`
 */
export async function shakeHands(
  wire: Wire,
  options: { era: Era | undefined; startupTimeoutMs: number },
): Promise<Handshake> {
  const { era, startupTimeoutMs } = options;
  const discovered = era === "legacy" ? undefined : await probe(wire, startupTimeoutMs);
  if (discovered === undefined) return { era: "legacy", serverInfo: await initialize(wire, startupTimeoutMs) };
  const meta = (discovered.result as { _meta?: Record<string, unknown> } | null)?._meta;
  return { era: "modern", serverInfo: JSON.stringify(meta?.[SERVER_INFO_KEY] ?? {}) };
}

async function probe(wire: Wire, startupTimeoutMs: number): Promise<ResponseFrame | undefined> {
  try {
    const timeoutMs = Math.min(PROBE_TIMEOUT_MS, startupTimeoutMs);
    const frame = await wire.request("server/discover", { _meta: MODERN_META }, timeoutMs);
    return frame.error === undefined ? frame : undefined;
  } catch (error) {
    if (wire.ended !== undefined) throw error;
    return undefined;
  }
}

async function initialize(wire: Wire, startupTimeoutMs: number): Promise<string> {
  const params = { protocolVersion: LATEST_LEGACY_REVISION, capabilities: {}, clientInfo: CLIENT_INFO };
  const { result, error } = await wire.request("initialize", params, startupTimeoutMs);
  if (error !== undefined)
    throw new AppError("unavailable", `the server refused initialize: ${JSON.stringify(error.message)}`);
  const { protocolVersion, serverInfo } = (result ?? {}) as { protocolVersion?: unknown; serverInfo?: unknown };
  if (!LEGACY_REVISIONS.some((each) => each === protocolVersion)) {
    const version = JSON.stringify(protocolVersion);
    throw new AppError("unavailable", `the server speaks MCP ${version}, which is not supported`);
  }
  wire.notify("notifications/initialized");
  return JSON.stringify(serverInfo ?? {});
}

/** Each tool's own JSON. @throws {AppError} `unavailable` */
export async function listTools(wire: Wire, options: { era: Era; timeoutMs: number }): Promise<string[]> {
  const tools: string[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < PAGES_MAX; page++) {
    const params = {
      ...(cursor === undefined ? {} : { cursor }),
      ...(options.era === "modern" ? { _meta: MODERN_META } : {}),
    };
    const frame = await wire.request("tools/list", params, options.timeoutMs);
    if (frame.error?.code === RPC.methodNotFound) return [];
    if (frame.error !== undefined)
      throw new AppError("unavailable", `tools/list failed: ${JSON.stringify(frame.error.message)}`);
    tools.push(...resultItems(frame, "tools"));
    if (tools.length > TOOLS_MAX) throw new AppError("unavailable", `the server offers more than ${TOOLS_MAX} tools`);
    const next = (frame.result as { nextCursor?: unknown } | null)?.nextCursor;
    if (typeof next !== "string") return tools;
    cursor = next;
  }
  throw new AppError("unavailable", `tools/list did not end within ${PAGES_MAX} pages`);
}
