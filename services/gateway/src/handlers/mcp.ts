import type { Bus, SessionStore } from "@tollgate/bus";
import {
  CLIENT_CAPABILITIES_KEY,
  CLIENT_INFO_KEY,
  eraOf,
  type Frame,
  LOG_LEVEL_KEY,
  MODERN_REVISION,
  type NotificationFrame,
  type RequestFrame,
  type RequestId,
  RPC,
  type Sealers,
} from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { Policy, Principal } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import { checkLegacyVersion, checkModern } from "../domain/http-checks.ts";
import { discoverResult, identityOf, initializeResult } from "../domain/identity.ts";
import { LISTS } from "../domain/lists.ts";
import { isForServer } from "../domain/targets.ts";
import type { Affinities } from "./affinities.ts";
import type { Approvals } from "./approvals.ts";
import type { Calls, CallSink } from "./calls.ts";
import type { Channels } from "./channels.ts";
import type { Entry } from "./entry.ts";
import { createLegacySessions, type OpenSession, type Session } from "./legacy-sessions.ts";
import type { Lists } from "./lists.ts";
import { listen } from "./listen.ts";
import {
  clientName,
  invalidParams,
  type McpAnswer,
  type McpContext,
  unknownMethod,
  workspaceOf,
} from "./mcp-exchange.ts";
import type { Refuse } from "./refusals.ts";
import { createServerCalls, type McpClient } from "./server-calls.ts";

const LOG_LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
const LEGACY_ONLY = new Set(["resources/subscribe", "resources/unsubscribe", "tasks/result"]);
const MODERN_ONLY = new Set(["tasks/update"]);

export interface Mcp {
  /** @throws {AppError} as the clients of policy and registry do */
  handle(frame: Frame, context: McpContext, sink: (frame: RequestFrame) => CallSink): Promise<McpAnswer>;
  findSession(id: string, principal: Principal): Promise<OpenSession | undefined>;
  endSession(id: string, principal: Principal): Promise<boolean>;
}

export function isModern(frame: Frame, headers: McpContext["headers"]): boolean {
  return eraOf(frame.params) === "modern" || headers["mcp-protocol-version"] === MODERN_REVISION;
}

/** What the gateway does with each MCP message of either era. */
export function createMcp(options: {
  bus: Bus;
  policy: Policy;
  registry: Registry;
  sessions: SessionStore<Session>;
  entry: Entry;
  affinities: Affinities;
  approvals: Approvals;
  calls: Calls;
  lists: Lists;
  channels: Channels;
  sealers: Sealers;
  refuse: Refuse;
  newSessionId: () => string;
  log: Log;
}): Mcp {
  const { registry, lists, channels } = options;
  const callServer = createServerCalls(options);
  const legacy = createLegacySessions({ ...options, callServer });
  type SinkFor = (frame: RequestFrame) => CallSink;

  const identity = ({ scope }: McpContext, era: "legacy" | "modern") => identityOf(registry.catalogue, scope, era);

  async function handleModern(
    frame: RequestFrame | NotificationFrame,
    context: McpContext,
    sink: SinkFor,
  ): Promise<McpAnswer> {
    const wrong = checkModern(frame, context.overHttp ? context.headers : undefined);
    if (wrong) return { kind: "error", id: idOf(frame), error: wrong };
    if (frame.kind === "notification") return { kind: "accepted" };
    if (frame.method === "server/discover")
      return { kind: "result", id: frame.id, result: discoverResult(identity(context, "modern")) };
    if (frame.method === "subscriptions/listen") return listen(frame, context, channels);
    if (isOffered(frame.method, context, "modern")) return lists.answer(frame, context, "modern");
    if (isForServer(frame.method) && !LEGACY_ONLY.has(frame.method))
      return callServer(frame, context, modernClient(frame, context), sink(frame));
    return unknownMethod(frame, 404);
  }

  async function handleLegacy(
    frame: RequestFrame | NotificationFrame,
    context: McpContext,
    sink: SinkFor,
  ): Promise<McpAnswer> {
    if (frame.kind === "request" && frame.method === "initialize") return initialize(frame, context);
    const open = await openSession(frame, context);
    if ("kind" in open) return open;
    if (frame.kind === "notification") return notified(frame, open);
    if (frame.method === "ping") return { kind: "result", id: frame.id, result: "{}" };
    if (frame.method === "logging/setLevel") return setLogLevel(frame, open);
    if (isOffered(frame.method, context, "legacy")) return lists.answer(frame, context, "legacy");
    if (isForServer(frame.method) && !MODERN_ONLY.has(frame.method))
      return legacy.call(frame, context, open, sink(frame));
    return unknownMethod(frame, 200);
  }

  /** A list that no server behind the route has is no method at all, as at a server itself; tools are always asked for. */
  function isOffered(method: string, context: McpContext, era: "legacy" | "modern"): boolean {
    const list = Object.hasOwn(LISTS, method) ? LISTS[method] : undefined;
    if (!list) return false;
    return list.capability === "tools" || identity(context, era).capabilities[list.capability] !== undefined;
  }

  async function initialize(frame: RequestFrame, context: McpContext): Promise<McpAnswer> {
    const principal = context.principal;
    const id = context.sessionId ?? options.newSessionId();
    if (context.sessionId !== undefined && !(await legacy.isFree(id, principal)))
      return noSession(frame, 404, "the session is not known or has ended");
    const session = await legacy.begin(id, frame, principal, context);
    if (!session) return invalidParams(frame, '"params.capabilities" and "params.clientInfo" are too large');
    const result = initializeResult(identity(context, "legacy"), session.protocol);
    return { kind: "result", id: frame.id, result, session: id };
  }

  function notified(frame: NotificationFrame, open: OpenSession): McpAnswer {
    if (frame.method === "notifications/cancelled") legacy.cancel(open, frame.params?.["requestId"]);
    else if (frame.method !== "notifications/initialized") legacy.notify(open, frame);
    return { kind: "accepted" };
  }

  async function setLogLevel(frame: RequestFrame, open: OpenSession): Promise<McpAnswer> {
    const level = frame.params?.["level"];
    if (typeof level !== "string" || !LOG_LEVELS.includes(level))
      return invalidParams(frame, `"params.level" has to be one of ${LOG_LEVELS.join(", ")}`);
    await legacy.setLogLevel(open, level);
    return { kind: "result", id: frame.id, result: "{}" };
  }

  async function openSession(frame: Frame, context: McpContext): Promise<OpenSession | McpAnswer> {
    const version = context.overHttp ? checkLegacyVersion(context.headers) : undefined;
    if (version) return { kind: "error", id: idOf(frame), error: version };
    const id = context.sessionId ?? context.headers["mcp-session-id"];
    if (typeof id !== "string")
      return noSession(frame, 400, "no session: send initialize first, then its Mcp-Session-Id with each request");
    const open = await legacy.find(id, context.principal);
    return open ?? noSession(frame, 404, "the session is not known or has ended; send initialize again");
  }

  return {
    async handle(frame, context, sink) {
      if (frame.kind === "response") {
        // An answer to a ping, or to nothing, is accepted as well: it asks for nothing.
        const open = await openSession(frame, context);
        if (!("kind" in open)) legacy.answer(open, frame);
        return { kind: "accepted" };
      }
      return isModern(frame, context.headers) ? handleModern(frame, context, sink) : handleLegacy(frame, context, sink);
    },
    findSession: (id, principal) => legacy.find(id, principal),
    endSession: (id, principal) => legacy.end(id, principal),
  };
}

function modernClient(frame: RequestFrame, { headers }: McpContext): McpClient {
  const meta = frame.params!["_meta"] as Record<string, unknown>;
  const info = meta[CLIENT_INFO_KEY];
  const logLevel = meta[LOG_LEVEL_KEY];
  return {
    era: "modern",
    protocol: MODERN_REVISION,
    client: clientName(meta, CLIENT_INFO_KEY),
    side: {
      era: "modern",
      capabilities: meta[CLIENT_CAPABILITIES_KEY] as Record<string, unknown>,
      ...(typeof info === "object" && info !== null ? { info: info as Record<string, unknown> } : {}),
      ...(typeof logLevel === "string" ? { logLevel } : {}),
      ...workspaceOf(headers),
    },
  };
}

function noSession(frame: Frame, status: number, message: string): McpAnswer {
  return { kind: "error", id: idOf(frame), error: { status, code: RPC.invalidRequest, message } };
}

function idOf(frame: Frame): RequestId | null {
  return frame.kind === "request" ? frame.id : null;
}
