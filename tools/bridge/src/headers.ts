import type { OutgoingHttpHeaders } from "node:http";
import type { Frame } from "./frame.ts";

/** A folder's path that is longer is not worth a request that is refused for its headers. */
const workspaceLengthMax = 4_096;

/** The headers that a modern request must repeat from its body (MCP 2026-07-28, Streamable HTTP). */
export function modernHeaders(frame: Frame): OutgoingHttpHeaders {
  const name = nameParameter(frame);
  return {
    "mcp-protocol-version": encodeHeaderValue(frame.protocolVersion ?? ""),
    ...(frame.method !== "" && { "mcp-method": encodeHeaderValue(frame.method) }),
    ...(typeof name === "string" && name !== "" && { "mcp-name": encodeHeaderValue(name) }),
  };
}

/** What `Mcp-Name` repeats, according to the method. */
function nameParameter({ method, params }: Frame): unknown {
  if (method.startsWith("resources/")) return params["uri"];
  return method.startsWith("tasks/") ? params["taskId"] : params["name"];
}

/**
 * A value as it may stand in a header: itself where it is visible ASCII without blanks around it, else `=?base64?…?=`.
 * What only looks like that form is encoded too, so that decoding is unambiguous.
 */
export function encodeHeaderValue(value: string): string {
  const safe =
    /^[\x20-\x7e]*$/.test(value) && value.trim() === value && !(value.startsWith("=?base64?") && value.endsWith("?="));
  return safe ? value : `=?base64?${Buffer.from(value, "utf8").toString("base64")}?=`;
}

/** `Tollgate-Workspace`: the folder's path, percent-encoded (encodeURI), so that any path can stand in a header. */
export function workspaceHeader(folder: string | undefined): { "tollgate-workspace"?: string } {
  if (folder === undefined || folder === "") return {};
  const encoded = encodeURI(Buffer.from(folder, "utf8").toString("utf8"));
  return encoded.length > workspaceLengthMax ? {} : { "tollgate-workspace": encoded };
}
