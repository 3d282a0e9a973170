import type { Outgoing } from "./transport.ts";

/** Set by the transports, whatever the configuration says. */
const OWN = new Set([
  "accept",
  "accept-encoding",
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "last-event-id",
  "mcp-method",
  "mcp-name",
  "mcp-protocol-version",
  "mcp-session-id",
  "transfer-encoding",
]);
const SENTINEL_START = "=?base64?";
const SENTINEL_END = "?=";
/** Visible ASCII, with spaces and tabs inside (MCP 2026-07-28, Streamable HTTP, Value Encoding). */
const PLAIN = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/;
const SECRET_MIN_CHARS = 6;
const PATH_SECRET_MIN_CHARS = 16;

/** The configured headers that are sent, in lower case. */
export function configuredHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const kept = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const);
  return Object.fromEntries(kept.filter(([name]) => !OWN.has(name)));
}

/** What MCP mirrors of a message into headers: the revision, and in the modern era also method, name and parameters. */
export function messageHeaders({ frame, era, protocol, paramHeaders }: Outgoing): Record<string, string> {
  const headers: Record<string, string> = {};
  if (protocol !== "") headers["mcp-protocol-version"] = protocol;
  if (era === "legacy" || frame.kind === "response") return headers;
  headers["mcp-method"] = encodeValue(frame.method);
  const name = frame.params?.[nameKey(frame.method)];
  if (typeof name === "string") headers["mcp-name"] = encodeValue(name);
  for (const [key, value] of Object.entries(paramHeaders ?? {})) headers[key.toLowerCase()] = encodeValue(value);
  return headers;
}

/** The parameter that says what a request is about; the tasks extension adds its own. */
function nameKey(method: string): string {
  if (method === "tools/call" || method === "prompts/get") return "name";
  if (method === "resources/read") return "uri";
  return method.startsWith("tasks/") ? "taskId" : "";
}

/** A value as a header can carry it. */
function encodeValue(value: string): string {
  const looksEncoded = value.startsWith(SENTINEL_START) && value.endsWith(SENTINEL_END);
  if (PLAIN.test(value) && !looksEncoded) return value;
  return `${SENTINEL_START}${Buffer.from(value).toString("base64")}${SENTINEL_END}`;
}

/** Takes what may be secret in url and headers out of a text that a server has written: it may say back what it got. */
export function createRedaction(url: URL, headers: Readonly<Record<string, string>>): (text: string) => string {
  const words = Object.values(headers).flatMap((value) => [value, ...value.split(/\s+/)]);
  const secrets = [...words, ...url.searchParams.values(), decodeURIComponent(url.password)].filter(
    (each) => each.length >= SECRET_MIN_CHARS,
  );
  secrets.push(...url.pathname.split("/").filter((each) => each.length >= PATH_SECRET_MIN_CHARS));
  const longestFirst = secrets.toSorted((a, b) => b.length - a.length);
  return (text) => longestFirst.reduce((rest, secret) => rest.replaceAll(secret, "…"), text);
}
