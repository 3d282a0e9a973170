import type { SessionStore } from "@tollgate/bus";
import { LATEST_LEGACY_REVISION, LEGACY_REVISIONS, type RequestFrame, type RequestId, RPC } from "@tollgate/mcp";
import type { Principal } from "../clients/policy.ts";
import type { Calls, CallSink } from "./calls.ts";
import { clientName, type McpAnswer, type McpContext } from "./mcp-exchange.ts";
import type { CallTool } from "./tool-calls.ts";

/** A legacy client's session, as it stands in NATS KV. */
export interface Session {
  readonly principal: string;
  readonly tenant: string;
  readonly protocol: string;
  readonly client: string;
}

export interface OpenSession {
  readonly id: string;
  readonly session: Session;
}

export interface LegacySessions {
  initialize(frame: RequestFrame, context: McpContext): Promise<McpAnswer>;
  /** A session serves only whoever began it; to others it does not exist. */
  find(id: string, principal: Principal): Promise<OpenSession | undefined>;
  /** False when there is no such session. */
  end(id: string, principal: Principal): Promise<boolean>;
  call(frame: RequestFrame, context: McpContext, open: OpenSession, sink: CallSink): Promise<McpAnswer>;
  cancel(open: OpenSession, requestId: unknown): void;
}

export function createLegacySessions(options: {
  sessions: SessionStore<Session>;
  calls: Calls;
  callTool: CallTool;
  newSessionId: () => string;
  serverInfo: object;
}): LegacySessions {
  const { sessions, calls, callTool, serverInfo } = options;
  /** Calls under way, by session and request id, which `notifications/cancelled` names; "" until one has an id. */
  const underWay = new Map<string, string>();

  async function find(id: string, principal: Principal): Promise<OpenSession | undefined> {
    const session = await sessions.get(id);
    return session?.principal === principal.id && session.tenant === principal.tenant ? { id, session } : undefined;
  }

  return {
    find,
    async initialize(frame, { principal }) {
      const asked = frame.params?.["protocolVersion"];
      const protocol = LEGACY_REVISIONS.find((each) => each === asked) ?? LATEST_LEGACY_REVISION;
      const id = options.newSessionId();
      const client = clientName(frame.params, "clientInfo");
      await sessions.put(id, { principal: principal.id, tenant: principal.tenant, protocol, client });
      const result = JSON.stringify({ protocolVersion: protocol, capabilities: { tools: {} }, serverInfo });
      return { kind: "result", id: frame.id, result, session: id };
    },
    async end(id, principal) {
      if (!(await find(id, principal))) return false;
      await sessions.delete(id);
      return true;
    },
    async call(frame, context, { id, session }, sink) {
      const key = callKey(id, frame.id);
      if (underWay.has(key)) {
        const message = `a request with id ${JSON.stringify(frame.id)} is under way in this session`;
        return { kind: "error", id: frame.id, error: { status: 200, code: RPC.invalidRequest, message } };
      }
      underWay.set(key, "");
      const forget = () => underWay.delete(key);
      const client = { era: "legacy" as const, protocol: session.protocol, client: session.client, session: id };
      try {
        const answer = await callTool(frame, context, client, {
          onProgress: (text) => sink.onProgress(text),
          onFinal: (text) => (forget(), sink.onFinal(text)),
          onFailure: (error) => (forget(), sink.onFailure(error)),
        });
        // Not when it has ended already.
        if (answer.kind !== "call") forget();
        else if (underWay.has(key)) underWay.set(key, answer.callId);
        return answer;
      } catch (error) {
        forget();
        throw error;
      }
    },
    cancel({ id }, requestId) {
      if (typeof requestId !== "string" && typeof requestId !== "number") return;
      const callId = underWay.get(callKey(id, requestId));
      if (callId !== undefined && callId !== "") calls.cancel(callId);
    },
  };
}

function callKey(session: string, requestId: RequestId): string {
  return `${session}\n${typeof requestId}\n${requestId}`;
}
