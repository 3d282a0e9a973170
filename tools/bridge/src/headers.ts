import type { OutgoingHttpHeaders } from "node:http";
import type { Frame } from "./frame.ts";

/** The headers that a modern request must repeat from its body (MCP 2026-07-28, Streamable HTTP). */
export function modernHeaders(frame: Frame): OutgoingHttpHeaders {
  return {
    "mcp-protocol-version": encodeHeaderValue(frame.protocolVersion ?? ""),
    ...(frame.method !== "" && { "mcp-method": encodeHeaderValue(frame.method) }),
    ...(frame.target !== undefined && frame.target !== "" && { "mcp-name": encodeHeaderValue(frame.target) }),
  };
}

/**
 * A value as it may stand in a header: itself where it is visible ASCII without blanks around it, else `=?base64?…?=`.
 * What only looks like that form is encoded too, so that decoding is unambiguous.
 */
function encodeHeaderValue(value: string): string {
  const safe =
    /^[\x20-\x7e]*$/.test(value) && value.trim() === value && !(value.startsWith("=?base64?") && value.endsWith("?="));
  return safe ? value : `=?base64?${Buffer.from(value, "utf8").toString("base64")}?=`;
}
