import { type ErrorCode, httpStatus, toAppError, toRpcError } from "@tollgate/errors";
import { type Era, type RequestFrame, type RequestId, RPC } from "@tollgate/mcp";
import type { Scope } from "../domain/catalogue.ts";
import type { Refusal } from "../domain/http-checks.ts";
import { stepUpOf } from "../domain/protected-resource.ts";
import type { Caller } from "./callers.ts";

const RETRY_AFTER_SECONDS = 1;

/** Who asks, where and how: the same for every method. */
export interface McpContext extends Caller {
  readonly scope: Scope;
  /** Of a transport that is a session by itself: WebSocket, HTTP+SSE. Otherwise a header names it. */
  readonly sessionId?: string;
  /** Modern requests over HTTP repeat in headers what they ask for; over WebSocket there are none. */
  readonly overHttp: boolean;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly bytes: number;
}

/** A place for what a client is told outside of any call. */
export interface Outlet {
  send(this: void, frame: string, eventId?: string): void;
  /** Nothing comes any more. */
  close(): void;
}

/**
 * A result that many requests are answered with: its bytes, and the brace that closes the answer. With a head of its own
 * before it, it is the answer to one of them, and nothing of it is copied.
 */
export interface SharedResult {
  readonly tail: Buffer;
}

export function sharedResult(result: string): SharedResult {
  return { tail: Buffer.from(`${result}}`) };
}

/** What is to be sent back. A call answers later, through its sink; a stream goes on until `close`. */
export type McpAnswer =
  | {
      readonly kind: "result";
      readonly id: RequestId;
      readonly result: string | SharedResult;
      readonly session?: string;
    }
  | { readonly kind: "error"; readonly id: RequestId | null; readonly error: Refusal }
  | { readonly kind: "accepted" }
  | {
      readonly kind: "call";
      readonly era: Era;
      readonly callId: string;
      /** The client's revision knows streams that are resumed from their beginning. */
      readonly canResume: boolean;
    }
  | { readonly kind: "stream"; readonly open: (outlet: Outlet) => { close(): void } };

export function unknownMethod(frame: RequestFrame, status: number): McpAnswer {
  const message = `the method ${frame.method} is not offered here`;
  return { kind: "error", id: frame.id, error: { status, code: RPC.methodNotFound, message } };
}

/** A request that opens a stream, where there is no place for one: in a batch, or on a transport that is one stream. */
export function noStreamHere({ method }: RequestFrame): Refusal {
  return { status: 400, code: RPC.invalidRequest, message: `${method} opens a stream, and needs a request of its own` };
}

export function invalidParams(frame: RequestFrame, message: string): McpAnswer {
  return { kind: "error", id: frame.id, error: { status: 200, code: RPC.invalidParams, message } };
}

/** `name/version` of a client, as it says of itself; for the audit, never for a decision. */
export function clientName(holder: unknown, key: string): string {
  const info = (holder as Record<string, unknown> | undefined)?.[key] as
    | { name?: unknown; version?: unknown }
    | null
    | undefined;
  if (typeof info?.name !== "string") return "";
  return `${info.name}/${typeof info.version === "string" ? info.version : ""}`.slice(0, 100);
}

/** Those that HTTP has a say in; every other error of a request is a JSON-RPC error in an answer with status 200. */
const HTTP_CODES: readonly ErrorCode[] = ["overloaded", "unauthenticated"];

/** An error that was thrown as what the MCP transport answers to the request `id`. */
export function toRefusal(error: unknown): Refusal {
  const known = toAppError(error);
  const { code, message, data } = toRpcError(known);
  const status = HTTP_CODES.includes(known.code) ? httpStatus(known.code) : stepUpOf(known.details) ? 401 : 200;
  const retry = known.code === "overloaded" ? { retryAfterSeconds: RETRY_AFTER_SECONDS } : {};
  return { status, code, message, data: { ...retry, ...data } };
}

const WORKSPACE_MAX_CHARS = 1_024;

/** Where the client works, as the bridge says it: percent-encoded, since folders are not ASCII. */
export function workspaceOf({ "tollgate-workspace": given }: McpContext["headers"]): { workspace?: string } {
  if (typeof given !== "string") return {};
  try {
    return { workspace: decodeURIComponent(given).slice(0, WORKSPACE_MAX_CHARS) };
  } catch {
    // Not encoded: as it is.
    return { workspace: given.slice(0, WORKSPACE_MAX_CHARS) };
  }
}
