import { findMembers, parseJson } from "@tollgate/mcp";

/**
 * What a text that came for one of our requests is to it:
 * - `answer`: its response
 * - `anonymous`: an error that names no request, as servers send that refuse before they read the body
 * - `message`: a request, a notification or a batch without the answer
 * - `foreign`: a response to another request
 * - `garbage`: no JSON-RPC
 */
export type Relation = "answer" | "anonymous" | "message" | "foreign" | "garbage";

export function relationOf(text: string, id: number): Relation {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch {
    return "garbage";
  }
  if (!Array.isArray(value)) return relationOfMessage(value, id);
  return value.some((each) => relationOfMessage(each, id) === "answer") ? "answer" : "message";
}

function relationOfMessage(value: unknown, id: number): Relation {
  if (typeof value !== "object" || value === null) return "garbage";
  const message = value as Readonly<Record<string, unknown>>;
  if ("method" in message) return "message";
  if (!("result" in message) && !isError(message["error"])) return "garbage";
  const theirs = message["id"] ?? null;
  if (theirs === null) return "result" in message ? "foreign" : "anonymous";
  // Ours are numbers; a server may have made strings of them.
  return Number(theirs) === id ? "answer" : "foreign";
}

function isError(error: unknown): boolean {
  return typeof error === "object" && error !== null && "code" in error;
}

/** An `anonymous` error as the answer to a request. */
export function withId(text: string, id: number): string {
  const { start, end } = findMembers(text, 0, ["error"])!.spans["error"]!;
  return `{"jsonrpc":"2.0","id":${id},"error":${text.slice(start, end)}}`;
}

/** Valid JSON on one line: line breaks stand only between its parts, never within strings. */
export function oneLine(text: string): string {
  return text.includes("\n") || text.includes("\r") ? text.replaceAll(/[\r\n]+/g, " ") : text;
}

export interface RpcError {
  readonly code: unknown;
  readonly message: string;
}

/** The error of a text that is a JSON-RPC error response. */
export function errorOf(text: string): RpcError | undefined {
  try {
    const { error } = parseJson(text) as { error?: { code?: unknown; message?: unknown } };
    return isError(error) ? { code: error?.code, message: String(error?.message) } : undefined;
  } catch {
    return undefined;
  }
}
