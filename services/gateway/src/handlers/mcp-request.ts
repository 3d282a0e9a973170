import type { FastifyRequest } from "fastify";
import { RPC } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { Policy } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import { checkScope, type Scope } from "../domain/catalogue.ts";
import type { Refusal } from "../domain/http-checks.ts";
import type { ProtectedResource } from "../domain/protected-resource.ts";
import type { Calls } from "./calls.ts";
import type { Mcp } from "./mcp.ts";
import type { Caller, Callers } from "./callers.ts";
import type { McpContext } from "./mcp-exchange.ts";
import type { SessionStreams } from "./session-streams.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Set once the request's token has been resolved. */
    caller: Caller | null;
  }
}

/** What every transport of MCP needs. */
export interface McpTransportOptions {
  readonly mcp: Mcp;
  readonly calls: Calls;
  readonly streams: SessionStreams;
  readonly callers: Callers;
  readonly policy: Policy;
  readonly registry: Registry;
  readonly resource: ProtectedResource;
  readonly allowedOrigins: readonly string[];
  readonly bodyMaxBytes: number;
  /** Of a session that its transport begins. */
  readonly newSessionId: () => string;
  /** A frame for the stream of a session, wherever it is open. */
  readonly toSession: (session: string, frame: string) => void;
  readonly stopping: AbortSignal;
  readonly log: Log;
}

export function contextOf(request: FastifyRequest, text: string): McpContext {
  const scope = scopeOf(request.params as Partial<Scope>);
  return {
    ...request.caller!,
    scope,
    overHttp: true,
    headers: request.headers,
    bytes: Buffer.byteLength(text),
  };
}

const SETS = "sets";

/** What a route says behind `/mcp`: `GROUP`, `GROUP/SERVER`, or `sets/SET`, which is why no group has that id. */
export function scopeOf({ group, server }: Partial<Scope>): Scope {
  if (group === SETS && server !== undefined) return { group: undefined, server: undefined, set: server };
  return { group, server };
}

export function bodyOf({ body }: FastifyRequest): string {
  return typeof body === "string" ? body : "";
}

/** Why the route leads nowhere. */
export function checkRoute(request: FastifyRequest, { registry }: McpTransportOptions): Refusal | undefined {
  const message = checkScope(registry.catalogue, scopeOf(request.params as Partial<Scope>));
  return message === undefined ? undefined : { status: 404, code: RPC.invalidParams, message };
}
