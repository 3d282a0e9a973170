/** Revisions with `initialize` and sessions, oldest first. */
export const LEGACY_REVISIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] as const;
export const LATEST_LEGACY_REVISION = "2025-11-25";
/** Stateless: every request says in `_meta` which revision it speaks. */
export const MODERN_REVISION = "2026-07-28";
export const SUPPORTED_REVISIONS = [...LEGACY_REVISIONS, MODERN_REVISION] as const;

export type Era = "legacy" | "modern";

export const META_KEY_PREFIX = "io.modelcontextprotocol/";
export const PROTOCOL_VERSION_KEY = "io.modelcontextprotocol/protocolVersion";
export const CLIENT_CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities";
export const CLIENT_INFO_KEY = "io.modelcontextprotocol/clientInfo";
export const LOG_LEVEL_KEY = "io.modelcontextprotocol/logLevel";
/** On every message of a `subscriptions/listen` stream: the id of its request. */
export const SUBSCRIPTION_ID_KEY = "io.modelcontextprotocol/subscriptionId";
export const SERVER_INFO_KEY = "io.modelcontextprotocol/serverInfo";

/** JSON-RPC 2.0 section 5.1, and MCP 2026-07-28's own. */
export const RPC = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
  /** Before 2026-07-28; since then `invalidParams`. */
  resourceNotFound: -32002,
  headerMismatch: -32020,
  missingClientCapability: -32021,
  unsupportedProtocolVersion: -32022,
} as const;

/** A request that names its revision in `_meta` is modern, whatever revision it names. */
export function eraOf(params: unknown): Era {
  if (typeof params !== "object" || params === null) return "legacy";
  const meta = (params as { _meta?: unknown })._meta;
  return typeof meta === "object" && meta !== null && PROTOCOL_VERSION_KEY in meta ? "modern" : "legacy";
}
