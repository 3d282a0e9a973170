import { isUtf8 } from "node:buffer";
import { rawMember, rawMembers } from "./raw-json.ts";
import { errorLine, failure, isObject } from "./rpc-error.ts";

export const PROTOCOL_VERSION_KEY = "io.modelcontextprotocol/protocolVersion";

/** One message of the client's, or a batch of them: its bytes as they came, and the few facts that decide its way. */
export interface Frame {
  readonly bytes: Buffer;
  readonly kind: "request" | "notification" | "response" | "batch";
  /** The messages of a batch; of any other frame itself alone. */
  readonly parts: readonly Frame[];
  /** A request's id; its type is part of it. */
  readonly id: string | number | undefined;
  /** Empty for a response and for a batch. */
  readonly method: string;
  /** Set on a modern frame (2026-07-28 and later), which carries its version itself; a legacy one belongs to the session. */
  readonly protocolVersion: string | undefined;
  readonly params: Readonly<Record<string, unknown>>;
}

/** A frame to carry, or the line that answers what is none. */
export type Inbound = { readonly ok: true; readonly frame: Frame } | { readonly ok: false; readonly answer: string };

/**
 * Reads one line. A batch stays whole where the session's revision has batches (2025-03-26 alone) and each of its messages
 * can go that way; else each goes alone, since clients match answers by id.
 */
export function parseLine(line: Buffer, options: { readonly keepsBatches: boolean }): Inbound[] {
  const text = line.toString("utf8");
  let message: unknown;
  try {
    if (!isUtf8(line)) throw new SyntaxError("it is not UTF-8");
    message = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [{ ok: false, answer: errorLine("null", failure("parse_error", `not a JSON message: ${reason}`)) }];
  }
  if (!Array.isArray(message)) return [inbound(message, line)];
  if (message.length === 0) return [refuse(null, "the batch is empty")];
  const raw = rawMembers(text);
  const inbounds = message.map((element, index) => inbound(element, Buffer.from(raw[index]?.value ?? "")));
  const parts = inbounds.flatMap((each) => (each.ok && isBatchable(each.frame) ? [each.frame] : []));
  if (!options.keepsBatches || parts.length < inbounds.length) return inbounds;
  return [
    {
      ok: true,
      frame: { bytes: line, kind: "batch", parts, id: undefined, method: "", protocolVersion: undefined, params: {} },
    },
  ];
}

/** What opens a session or cancels is handled by itself, and the modern era has no batches. */
function isBatchable(frame: Frame): boolean {
  return frame.protocolVersion === undefined && !["initialize", "notifications/cancelled"].includes(frame.method);
}

/** The requests among a frame's messages: what has to be answered. */
export function requestsOf(frame: Frame): Frame[] {
  return frame.parts.filter((part) => part.kind === "request");
}

/** Whether sending the frame twice could make a tool run twice. */
export function callsTool(frame: Frame): boolean {
  return frame.parts.some((part) => part.method === "tools/call");
}

/** The frame's name in the log. */
export function nameOf(frame: Frame): string {
  return frame.method || frame.kind;
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

/** A frame of the bridge's own. */
export function frameOf(text: string): Frame {
  const read = inbound(JSON.parse(text), Buffer.from(text));
  if (!read.ok) throw new TypeError(`not a frame: ${text}`);
  return read.frame;
}

/** `params._meta` of any message. */
export function metaOf(params: unknown): Readonly<Record<string, unknown>> {
  const meta = isObject(params) ? params["_meta"] : undefined;
  return isObject(meta) ? meta : {};
}

function inbound(message: unknown, bytes: Buffer): Inbound {
  if (!isObject(message)) return refuse(null, "a message is a JSON object");
  const { id, method } = message;
  const validId = typeof id === "string" || typeof id === "number" ? id : undefined;
  const params = isObject(message["params"]) ? message["params"] : {};
  if (method === undefined) {
    const isResponse = "result" in message || "error" in message;
    if (isResponse) return accept({ bytes, kind: "response", id: undefined, method: "", params });
    return refuse(validId === undefined ? null : bytes, "the message has neither a method nor a result");
  }
  if (typeof method !== "string") return refuse(validId === undefined ? null : bytes, "method must be a string");
  if (validId !== undefined) return accept({ bytes, kind: "request", id: validId, method, params });
  if ("id" in message) return refuse(null, "id must be a string or a number");
  return accept({ bytes, kind: "notification", id: undefined, method, params });
}

function accept(message: Omit<Frame, "parts" | "protocolVersion">): Inbound {
  const version = metaOf(message.params)[PROTOCOL_VERSION_KEY];
  const parts: Frame[] = [];
  const frame: Frame = { ...message, parts, protocolVersion: typeof version === "string" ? version : undefined };
  parts.push(frame);
  return { ok: true, frame };
}

function refuse(bytes: Buffer | null, reason: string): Inbound {
  const id = bytes === null ? "null" : (rawMember(bytes.toString("utf8"), "id") ?? "null");
  return {
    ok: false,
    answer: errorLine(id, failure("invalid_request", `not a JSON-RPC message: ${reason}`)),
  };
}
