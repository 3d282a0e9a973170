import type { SessionStore } from "@tollgate/bus";
import {
  eraOf,
  type Frame,
  MODERN_REVISION,
  type NotificationFrame,
  type RequestFrame,
  type RequestId,
  RPC,
} from "@tollgate/mcp";
import type { Policy, Principal } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import { checkLegacyVersion, checkModern } from "../domain/http-checks.ts";
import { discoverResult } from "../domain/tool-list.ts";
import type { Calls, CallSink } from "./calls.ts";
import { createLegacySessions, type OpenSession, type Session } from "./legacy-sessions.ts";
import { clientName, type McpAnswer, type McpContext, unknownMethod } from "./mcp-exchange.ts";
import type { Refuse } from "./refusals.ts";
import { createToolCalls } from "./tool-calls.ts";
import { createToolLists } from "./tool-lists.ts";

const GATEWAY_INFO = { name: "tollgate", title: "Tollgate", version: "0.1.0" };

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
  refuse: Refuse;
  newSessionId: () => string;
}): Mcp {
  const callTool = createToolCalls(options);
  const listTools = createToolLists(options);
  const legacy = createLegacySessions({ ...options, callTool, serverInfo: GATEWAY_INFO });

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
        return callTool(frame, context, { era: "modern", protocol: MODERN_REVISION, client }, sink(frame));
      default:
        return unknownMethod(frame, 404);
    }
  }

  async function handleLegacy(
    frame: RequestFrame | NotificationFrame,
    context: McpContext,
    sink: (frame: RequestFrame) => CallSink,
  ): Promise<McpAnswer> {
    if (frame.kind === "request" && frame.method === "initialize") return legacy.initialize(frame, context);
    const version = checkLegacyVersion(context.headers);
    if (version) return { kind: "error", id: idOf(frame), error: version };
    const open = await findSession(frame, context);
    if ("kind" in open) return open;
    if (frame.kind === "notification") {
      if (frame.method === "notifications/cancelled") legacy.cancel(open, frame.params?.["requestId"]);
      return { kind: "accepted" };
    }
    switch (frame.method) {
      case "ping":
        return { kind: "result", id: frame.id, result: "{}" };
      case "tools/list":
        return listTools(frame, context, "legacy");
      case "tools/call":
        return legacy.call(frame, context, open, sink(frame));
      default:
        return unknownMethod(frame, 200);
    }
  }

  async function findSession(frame: Frame, context: McpContext): Promise<OpenSession | McpAnswer> {
    const id = context.headers["mcp-session-id"];
    if (typeof id !== "string")
      return noSession(frame, 400, "no session: send initialize first, then its Mcp-Session-Id with each request");
    const open = await legacy.find(id, context.principal);
    return open ?? noSession(frame, 404, "the session is not known or has ended; send initialize again");
  }

  return {
    // A client may answer a ping of a server; nothing here waits for it yet.
    async handle(frame, context, sink) {
      if (frame.kind === "response") return { kind: "accepted" };
      const modern = eraOf(frame.params) === "modern" || context.headers["mcp-protocol-version"] === MODERN_REVISION;
      return modern ? handleModern(frame, context, sink) : handleLegacy(frame, context, sink);
    },
    endSession: (id, principal) => legacy.end(id, principal),
  };
}

function noSession(frame: Frame, status: number, message: string): McpAnswer {
  return { kind: "error", id: idOf(frame), error: { status, code: RPC.invalidRequest, message } };
}

function idOf(frame: Frame): RequestId | null {
  return frame.kind === "request" ? frame.id : null;
}
