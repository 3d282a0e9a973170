import { rawMember, rawMembers } from "./raw-json.ts";
import { errorLine, failure, isObject } from "./rpc-error.ts";

export const PROTOCOL_VERSION_KEY = "io.modelcontextprotocol/protocolVersion";

/** One JSON-RPC message of the client: its bytes as they came, and the few facts that decide its way. */
export interface Frame {
  readonly bytes: Buffer;
  readonly kind: "request" | "notification" | "response";
  /** A request's id; its type is part of it. */
  readonly id: string | number | undefined;
  /** Empty for a response. */
  readonly method: string;
  /** Set on a modern frame (2026-07-28 and later), which carries its version itself; a legacy one belongs to the session. */
  readonly protocolVersion: string | undefined;
  /** What `Mcp-Name` names: `params.name`, `params.uri` or `params.taskId`. */
  readonly target: string | undefined;
  /** `params.requestId`: the request that a `notifications/cancelled` ends. */
  readonly cancels: unknown;
}

/** A frame to carry, or the line that answers what is none. */
export type Inbound = { readonly ok: true; readonly frame: Frame } | { readonly ok: false; readonly answer: string };

/**
 * Reads one line. A batch (2025-03-26) is split and each element goes alone: Streamable HTTP has had no batches since
 * then, and clients match answers by id.
 */
export function parseLine(line: Buffer): Inbound[] {
  const text = line.toString("utf8");
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [
      {
        ok: false,
        answer: errorLine("null", failure("parse_error", `not a JSON message: ${reason}`)),
      },
    ];
  }
  if (!Array.isArray(message)) return [inbound(message, line)];
  if (message.length === 0) return [refuse(null, "the batch is empty")];
  const parts = rawMembers(text);
  return message.map((element, index) => inbound(element, Buffer.from(parts[index]?.value ?? "")));
}

/** The id as the client spelled it, for an answer that the bridge writes itself. */
export function rawId(frame: Frame): string {
  return rawMember(frame.bytes.toString("utf8"), "id") ?? "null";
}

/** Whether a parsed message is the response to the request with this id. */
export function isAnswerTo(message: unknown, id: string | number | undefined): boolean {
  return (
    isObject(message) &&
    id !== undefined &&
    message["id"] === id &&
    !("method" in message) &&
    ("result" in message || "error" in message)
  );
}

function inbound(message: unknown, bytes: Buffer): Inbound {
  if (!isObject(message)) return refuse(null, "a message is a JSON object");
  const { id, method, params } = message;
  const validId = typeof id === "string" || typeof id === "number" ? id : undefined;
  const rest = { bytes, ...routeOf(isObject(params) ? params : {}) };
  if (method === undefined) {
    const isResponse = "result" in message || "error" in message;
    if (isResponse) return { ok: true, frame: { ...rest, kind: "response", id: undefined, method: "" } };
    return refuse(validId === undefined ? null : bytes, "the message has neither a method nor a result");
  }
  if (typeof method !== "string") return refuse(validId === undefined ? null : bytes, "method must be a string");
  if (validId !== undefined) return { ok: true, frame: { ...rest, kind: "request", id: validId, method } };
  if ("id" in message) return refuse(null, "id must be a string or a number");
  return { ok: true, frame: { ...rest, kind: "notification", id: undefined, method } };
}

function routeOf(params: Record<string, unknown>): Pick<Frame, "protocolVersion" | "target" | "cancels"> {
  const meta = isObject(params["_meta"]) ? params["_meta"] : {};
  const version = meta[PROTOCOL_VERSION_KEY];
  return {
    protocolVersion: typeof version === "string" ? version : undefined,
    target: [params["name"], params["uri"], params["taskId"]].find((value) => typeof value === "string"),
    cancels: params["requestId"],
  };
}

function refuse(bytes: Buffer | null, reason: string): Inbound {
  const id = bytes === null ? "null" : (rawMember(bytes.toString("utf8"), "id") ?? "null");
  return {
    ok: false,
    answer: errorLine(id, failure("invalid_request", `not a JSON-RPC message: ${reason}`)),
  };
}
