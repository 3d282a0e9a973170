import type { SessionStore } from "@tollgate/bus";
import type { Decision } from "@tollgate/contracts";
import { AppError, toAppError, toRpcError } from "@tollgate/errors";
import {
  type Era,
  eraOf,
  type Frame,
  LATEST_LEGACY_REVISION,
  LEGACY_REVISIONS,
  MODERN_REVISION,
  type NotificationFrame,
  type RequestFrame,
  type RequestId,
  RPC,
  setToolName,
} from "@tollgate/mcp";
import type { Policy, Principal } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import { findTool, type Scope, serversIn, type Tool } from "../domain/catalogue.ts";
import { checkLegacyVersion, checkModern, type Refusal } from "../domain/http-checks.ts";
import { discoverResult, parseCursor, toolListResult } from "../domain/tool-list.ts";
import type { Calls, CallSink } from "./calls.ts";
import { startCallTrace } from "./tracing.ts";

export const GATEWAY_INFO = { name: "tollgate", title: "Tollgate", version: "0.1.0" };
const LISTS_CACHED_MAX = 5_000;
const DECIDE_ATTEMPTS_MAX = 3;

/** A legacy client's session, as it stands in NATS KV. */
export interface Session {
  readonly principal: string;
  readonly tenant: string;
  readonly protocol: string;
  readonly client: string;
}

/** Who asks, where and how: the same for every method. */
export interface McpContext {
  readonly principal: Principal;
  /** Policy's revision at which the principal was resolved. */
  readonly revision: number;
  /** Resolves the request's token once more. */
  readonly authenticate: () => Principal | Promise<Principal>;
  readonly scope: Scope;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly bytes: number;
}

/** What is to be sent back. A call answers later, through its sink. */
export type McpAnswer =
  | { readonly kind: "result"; readonly id: RequestId; readonly result: string; readonly session?: string }
  | { readonly kind: "error"; readonly id: RequestId | null; readonly error: Refusal }
  | { readonly kind: "accepted" }
  | { readonly kind: "call"; readonly era: Era; readonly callId: string };

export interface Mcp {
  /** @throws {AppError} as the clients of policy and registry do */
  handle(frame: Frame, context: McpContext, sink: (frame: RequestFrame) => CallSink): Promise<McpAnswer>;
  endSession(id: string, principal: Principal): Promise<boolean>;
}

/** What the gateway does with each MCP message of either era. */
export function createMcp(options: {
  policy: Policy;
  registry: Registry;
  sessions: SessionStore<Session>;
  calls: Calls;
  newSessionId: () => string;
}): Mcp {
  const { policy, registry, sessions, calls } = options;
  const lists = new Map<string, string>();
  /** Legacy calls under way, by session and request id: what `notifications/cancelled` names. */
  const cancellable = new Map<string, string>();

  async function handle(
    frame: Frame,
    context: McpContext,
    sink: (frame: RequestFrame) => CallSink,
  ): Promise<McpAnswer> {
    // A client may answer a ping of a server; nothing here waits for it yet.
    if (frame.kind === "response") return { kind: "accepted" };
    const modern = eraOf(frame.params) === "modern" || context.headers["mcp-protocol-version"] === MODERN_REVISION;
    return modern ? handleModern(frame, context, sink) : handleLegacy(frame, context, sink);
  }

  async function handleModern(
    frame: RequestFrame | NotificationFrame,
    context: McpContext,
    sink: (frame: RequestFrame) => CallSink,
  ): Promise<McpAnswer> {
    const refusal = checkModern(frame, context.headers);
    if (refusal) return { kind: "error", id: idOf(frame), error: refusal };
    if (frame.kind === "notification") return { kind: "accepted" };
    const client = clientName(frame.params?.["_meta"], "io.modelcontextprotocol/clientInfo");
    switch (frame.method) {
      case "server/discover":
        return { kind: "result", id: frame.id, result: discoverResult(GATEWAY_INFO) };
      case "tools/list":
        return listTools(frame, context, "modern");
      case "tools/call":
        return call(frame, context, { era: "modern", protocol: MODERN_REVISION, client }, sink(frame));
      default:
        return unknownMethod(frame, 404);
    }
  }

  async function handleLegacy(
    frame: RequestFrame | NotificationFrame,
    context: McpContext,
    sink: (frame: RequestFrame) => CallSink,
  ): Promise<McpAnswer> {
    if (frame.kind === "request" && frame.method === "initialize") return initialize(frame, context);
    const version = checkLegacyVersion(context.headers);
    if (version) return { kind: "error", id: idOf(frame), error: version };
    const sessionId = context.headers["mcp-session-id"];
    if (typeof sessionId !== "string") {
      const message = "no session: send initialize first, then its Mcp-Session-Id with each request";
      return { kind: "error", id: idOf(frame), error: { status: 400, code: RPC.invalidRequest, message } };
    }
    const session = await sessionOf(sessionId, context.principal);
    if (!session) {
      const message = "the session is not known or has ended; send initialize again";
      return { kind: "error", id: idOf(frame), error: { status: 404, code: RPC.invalidRequest, message } };
    }
    if (frame.kind === "notification") {
      if (frame.method === "notifications/cancelled") cancelLegacy(sessionId, frame.params?.["requestId"]);
      return { kind: "accepted" };
    }
    switch (frame.method) {
      case "ping":
        return { kind: "result", id: frame.id, result: "{}" };
      case "tools/list":
        return listTools(frame, context, "legacy");
      case "tools/call":
        return callInSession(frame, context, { id: sessionId, session }, sink(frame));
      default:
        return unknownMethod(frame, 200);
    }
  }

  async function initialize(frame: RequestFrame, { principal }: McpContext): Promise<McpAnswer> {
    const asked = frame.params?.["protocolVersion"];
    const protocol = LEGACY_REVISIONS.find((each) => each === asked) ?? LATEST_LEGACY_REVISION;
    const id = options.newSessionId();
    const client = clientName(frame.params, "clientInfo");
    await sessions.put(id, { principal: principal.id, tenant: principal.tenant, protocol, client });
    const result = JSON.stringify({ protocolVersion: protocol, capabilities: { tools: {} }, serverInfo: GATEWAY_INFO });
    return { kind: "result", id: frame.id, result, session: id };
  }

  /** A session serves only whoever began it; to others it does not exist. */
  async function sessionOf(id: string, principal: Principal): Promise<Session | undefined> {
    const session = await sessions.get(id);
    return session?.principal === principal.id && session.tenant === principal.tenant ? session : undefined;
  }

  function cancelLegacy(sessionId: string, requestId: unknown): void {
    const callId = cancellable.get(cancelKey(sessionId, requestId));
    if (callId !== undefined) calls.cancel(callId);
  }

  async function callInSession(
    frame: RequestFrame,
    context: McpContext,
    { id, session }: { id: string; session: Session },
    sink: CallSink,
  ): Promise<McpAnswer> {
    const key = cancelKey(id, frame.id);
    if (cancellable.has(key)) {
      const message = `a request with id ${JSON.stringify(frame.id)} is under way in this session`;
      return { kind: "error", id: frame.id, error: { status: 200, code: RPC.invalidRequest, message } };
    }
    const forget = () => cancellable.delete(key);
    const caller = { era: "legacy" as const, protocol: session.protocol, client: session.client, session: id };
    const answer = await call(frame, context, caller, {
      onProgress: (text) => sink.onProgress(text),
      onFinal: (text) => (forget(), sink.onFinal(text)),
      onFailure: (error) => (forget(), sink.onFailure(error)),
    });
    if (answer.kind === "call") cancellable.set(key, answer.callId);
    return answer;
  }

  /**
   * Who asks and what they may, both of one revision: between the token and the decision either may have been taken
   * back.
   */
  async function decide(
    context: McpContext,
    tools: readonly Tool[],
  ): Promise<{ principal: Principal; decisions: Decision[] }> {
    for (let attempt = 1; attempt <= DECIDE_ATTEMPTS_MAX; attempt++) {
      const { revision } = policy;
      const principal = revision === context.revision ? context.principal : await context.authenticate();
      const decided = policy.decide(principal, tools);
      const decisions = decided instanceof Promise ? await decided : decided;
      if (policy.revision === revision) return { principal, decisions };
    }
    throw new AppError("unavailable", "the policies keep changing while the request is decided; send it again");
  }

  async function listTools(frame: RequestFrame, context: McpContext, era: Era): Promise<McpAnswer> {
    const offset = parseCursor(frame.params?.["cursor"]);
    if (offset === undefined) return invalidParams(frame, '"params.cursor" is not a cursor of an earlier answer');
    const { catalogue } = registry;
    const { scope } = context;
    const servers = serversIn(catalogue, scope);
    const tools = servers.filter(({ info }) => info.status === "ready").flatMap((server) => [...server.tools.values()]);
    const { principal, decisions } = await decide(context, tools);
    const route = `${scope.group ?? ""}/${scope.server ?? ""}`;
    const key = `${principal.tenant}\n${principal.id}\n${route}\n${offset}\n${era}\n${catalogue.revision}\n${policy.revision}`;
    let result = lists.get(key);
    if (result === undefined) {
      result = toolListResult({
        tools: tools.filter((_tool, i) => decisions[i]!.allow),
        prefixed: scope.server === undefined,
        unavailable: servers.filter(({ info }) => info.status !== "ready"),
        offset,
        era,
      });
      if (lists.size >= LISTS_CACHED_MAX) lists.clear();
      lists.set(key, result);
    }
    return { kind: "result", id: frame.id, result };
  }

  async function call(
    frame: RequestFrame,
    context: McpContext,
    caller: { era: Era; protocol: string; client: string; session?: string },
    sink: CallSink,
  ): Promise<McpAnswer> {
    const name = frame.params?.["name"];
    if (typeof name !== "string") return invalidParams(frame, '"params.name" has to be a string');
    const args = frame.params?.["arguments"];
    if (args !== undefined && (typeof args !== "object" || args === null || Array.isArray(args)))
      return invalidParams(frame, '"params.arguments" has to be an object');
    const found = findTool(registry.catalogue, context.scope, name);
    if (!found) return invalidParams(frame, `unknown tool: ${name}`);
    const { server, tool } = found;
    const renamed = setToolName(frame, tool.name);
    if (!renamed.ok) return invalidParams(frame, renamed.reason);

    const { principal, decisions } = await decide(context, [tool]);
    const decision = decisions[0]!;
    const { protocol, ...facts } = factsOf(principal, tool, frame, caller);
    if (!decision.allow) {
      calls.refuse({ ...facts, code: "denied", reason: decision.reason, decision });
      throw new AppError("permission_denied", `${name}: ${decision.reason}`);
    }
    if (server.info.status !== "ready")
      throw new AppError("unavailable", `server ${server.info.id} is ${server.info.status}: ${server.info.reason}`);
    const meta = frame.params?.["_meta"] as { traceparent?: unknown } | undefined;
    const tracing = startCallTrace(name, context.headers["traceparent"] ?? meta?.traceparent);
    const callId = calls.start({
      frame: renamed.text,
      retrySafe: tool.retrySafe,
      facts: {
        ...facts,
        protocol,
        decision,
        requestBytes: context.bytes,
        ...(tracing.traceparent === undefined ? {} : { traceparent: tracing.traceparent }),
        ...(caller.session === undefined ? {} : { session: caller.session }),
      },
      sink: {
        onProgress: (text) => sink.onProgress(text),
        onFinal: (text) => (tracing.end(), sink.onFinal(text)),
        onFailure: (error) => (tracing.end(error.code), sink.onFailure(error)),
      },
    });
    return { kind: "call", era: caller.era, callId };
  }

  return {
    handle,
    async endSession(id, principal) {
      if (!(await sessionOf(id, principal))) return false;
      await sessions.delete(id);
      return true;
    },
  };
}

function factsOf(principal: Principal, tool: Tool, frame: RequestFrame, caller: { protocol: string; client: string }) {
  return {
    principal: principal.id,
    tenant: principal.tenant,
    team: principal.team,
    client: caller.client,
    group: tool.group,
    server: tool.server,
    tool: tool.name,
    method: frame.method,
    protocol: caller.protocol,
  };
}

/** `name/version` of a client, as it says of itself; for the audit, never for a decision. */
function clientName(holder: unknown, key: string): string {
  const info = (holder as Record<string, unknown> | undefined)?.[key] as
    | { name?: unknown; version?: unknown }
    | undefined;
  return typeof info?.name === "string"
    ? `${info.name}/${typeof info.version === "string" ? info.version : ""}`.slice(0, 100)
    : "";
}

function cancelKey(session: string, requestId: unknown): string {
  return `${session}\n${typeof requestId}\n${String(requestId)}`;
}

function idOf(frame: Frame): RequestId | null {
  return frame.kind === "request" ? frame.id : null;
}

function unknownMethod(frame: RequestFrame, status: number): McpAnswer {
  return {
    kind: "error",
    id: frame.id,
    error: { status, code: RPC.methodNotFound, message: `the method ${frame.method} is not offered here` },
  };
}

function invalidParams(frame: RequestFrame, message: string): McpAnswer {
  return { kind: "error", id: frame.id, error: { status: 200, code: RPC.invalidParams, message } };
}

/** An error that was thrown as what the MCP transport answers; those of a call are JSON-RPC errors with status 200. */
export function toRefusal(error: unknown): Refusal {
  const known = toAppError(error);
  const { code, message, data } = toRpcError(known);
  const status = known.code === "overloaded" ? 429 : known.code === "unauthenticated" ? 401 : 200;
  return { status, code, message, data };
}
