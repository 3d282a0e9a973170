import { parseJson } from "./json.ts";
import { RPC } from "./protocol.ts";
import { elementSpans, findMembers, type Members } from "./spans.ts";

export type RequestId = string | number;

interface FrameBase {
  readonly text: string;
  /** Where the parts stand in the text. */
  readonly members: Members;
  readonly params: Readonly<Record<string, unknown>> | undefined;
}

export interface RequestFrame extends FrameBase {
  readonly kind: "request";
  readonly id: RequestId;
  readonly method: string;
}

export interface NotificationFrame extends FrameBase {
  readonly kind: "notification";
  readonly method: string;
}

export interface ResponseFrame extends FrameBase {
  readonly kind: "response";
  readonly id: RequestId | null;
  readonly result: unknown;
  readonly error: { readonly code?: unknown; readonly message?: unknown } | undefined;
}

/** One JSON-RPC message. */
export type Frame = RequestFrame | NotificationFrame | ResponseFrame;

export interface FrameFailure {
  readonly ok: false;
  readonly code: number;
  readonly reason: string;
  /** The request's id where it could be read, so that the error reaches whoever waits for it. */
  readonly id: RequestId | null;
}

const WANTED = ["jsonrpc", "id", "method", "params", "result", "error"] as const;

/** Reads one frame. Never throws, whatever the text is (JSON-RPC 2.0 sections 4 and 5; MCP: ids are never null). */
export function parseFrame(text: string): { readonly ok: true; readonly frame: Frame } | FrameFailure {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    return fail(RPC.parseError, `the body is not JSON: ${(error as Error).message}`, null);
  }
  if (Array.isArray(value))
    return fail(RPC.invalidRequest, "batches are not supported; send one message at a time", null);
  if (typeof value !== "object" || value === null)
    return fail(RPC.invalidRequest, "a JSON-RPC message is an object", null);
  const message = value as Record<string, unknown>;
  const members = findMembers(text, 0, WANTED)!;
  const id = message["id"];
  const validId = typeof id === "string" || (typeof id === "number" && Number.isFinite(id)) ? id : null;
  const refuse = (reason: string) => fail(RPC.invalidRequest, reason, validId);
  if (members.ambiguous !== undefined) return refuse(`the member "${members.ambiguous}" is given more than once`);
  if (message["jsonrpc"] !== "2.0") return refuse('"jsonrpc" has to be "2.0"');
  const params = message["params"];
  if (params !== undefined && (typeof params !== "object" || params === null || Array.isArray(params)))
    return fail(RPC.invalidParams, '"params" has to be an object', validId);
  const base = { text, members, params: params as Record<string, unknown> | undefined };

  if ("method" in message) {
    const method = message["method"];
    if (typeof method !== "string" || method === "") return refuse('"method" has to be a non-empty string');
    if (!("id" in message)) return { ok: true, frame: { ...base, kind: "notification", method } };
    if (validId === null) return refuse('"id" has to be a string or a number');
    return { ok: true, frame: { ...base, kind: "request", id: validId, method } };
  }
  if (!("result" in message) && !("error" in message)) return refuse("neither a request nor a response");
  if (!("id" in message)) return refuse('a response needs an "id"');
  const error = message["error"];
  if (error !== undefined && (typeof error !== "object" || error === null))
    return refuse('"error" has to be an object');
  return {
    ok: true,
    frame: { ...base, kind: "response", id: validId, result: message["result"], error: error ?? undefined },
  };
}

/** The messages of a batch (MCP 2025-03-26), or undefined when the text is not a JSON array. */
export function batchOf(text: string): string[] | undefined {
  try {
    if (!Array.isArray(JSON.parse(text))) return undefined;
  } catch {
    return undefined;
  }
  return elementSpans(text, 0).map(({ start, end }) => text.slice(start, end));
}

function fail(code: number, reason: string, id: RequestId | null): FrameFailure {
  return { ok: false, code, reason, id };
}
