import {
  type Abandoned,
  type Bus,
  publishAbandoned,
  publishAnswer,
  type SessionStore,
  subscribeAbandoned,
} from "@tollgate/bus";
import { type ClientSide, runnerOfQuestion } from "@tollgate/contracts";
import {
  LATEST_LEGACY_REVISION,
  LEGACY_REVISIONS,
  type NotificationFrame,
  parseJson,
  type RequestFrame,
  type RequestId,
  type ResponseFrame,
  RPC,
} from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { Policy, Principal } from "../clients/policy.ts";
import type { Calls, CallSink } from "./calls.ts";
import { clientName, type McpAnswer, type McpContext, workspaceOf } from "./mcp-exchange.ts";
import type { CallServer } from "./server-calls.ts";

const SUBSCRIPTIONS_MAX = 1_000;
const CLIENT_MAX_CHARS = 65_536;

/** A legacy client's session, as it stands in NATS KV. */
export interface Session {
  readonly principal: string;
  readonly tenant: string;
  readonly protocol: string;
  /** `name/version`. */
  readonly client: string;
  /** What it said of itself in initialize, and what it has set since. */
  readonly side: ClientSide;
  /** Resources it has subscribed to, as it names them. */
  readonly subscriptions: readonly string[];
  /** Unix milliseconds. */
  readonly begunAt?: number;
  /** Which runner holds its own connection to a server. */
  readonly runners: Readonly<Record<string, string>>;
}

export interface OpenSession {
  readonly id: string;
  readonly session: Session;
}

interface UnderWay {
  /** Once it is let in. */
  id: string | undefined;
  /** Its client does not want the answer any more. */
  abandoned: boolean;
  /** While it waits to be let in. */
  giveUp: () => void;
}

export interface LegacySessions {
  /** Begins a session under `id`. */
  begin(id: string, frame: RequestFrame, principal: Principal, context: McpContext): Promise<Session | undefined>;
  /** Whether a session of this principal may begin under `id`. */
  isFree(id: string, principal: Principal): Promise<boolean>;
  /** A session serves only whoever began it; to others it does not exist. */
  find(id: string, principal: Principal): Promise<OpenSession | undefined>;
  /** False when there is no such session. */
  end(id: string, principal: Principal): Promise<boolean>;
  setLogLevel(open: OpenSession, logLevel: string): Promise<void>;
  call(frame: RequestFrame, context: McpContext, open: OpenSession, sink: CallSink): Promise<McpAnswer>;
  cancel(open: OpenSession, requestId: unknown): void;
  /** A client's answer to what a server has asked it. */
  answer(open: OpenSession, frame: ResponseFrame): void;
  /** What a client tells the servers that it has connections of its own to. */
  notify(open: OpenSession, frame: NotificationFrame): void;
}

export function createLegacySessions(options: {
  bus: Bus;
  policy: Policy;
  sessions: SessionStore<Session>;
  calls: Calls;
  callServer: CallServer;
  log: Log;
}): LegacySessions {
  const { bus, policy, sessions, calls, callServer, log } = options;
  /** Calls under way, by session and request id, which `notifications/cancelled` names. */
  const underWay = new Map<string, UnderWay>();

  async function find(id: string, principal: Principal): Promise<OpenSession | undefined> {
    const session = await sessions.get(id);
    if (policy.hasEnded(id)) return undefined;
    return session?.principal === principal.id && session.tenant === principal.tenant ? { id, session } : undefined;
  }

  async function remember(id: string, change: (session: Session) => Session): Promise<void> {
    await sessions
      .update(id, change)
      .catch((error: unknown) => log.warn({ err: error }, "a session could not be changed"));
  }

  function abandon({ session, requestId }: Abandoned): boolean {
    const call = underWay.get(callKey(session, requestId));
    if (!call) return false;
    call.abandoned = true;
    call.giveUp();
    if (call.id !== undefined) calls.cancel(call.id);
    return true;
  }
  subscribeAbandoned(bus, abandon);

  /** What an answered request changes in its session; the client hears of the answer when that holds. */
  function onAnswered({ id, session }: OpenSession, frame: RequestFrame, answer: string): Promise<void> | undefined {
    const uri = frame.params?.["uri"];
    const subscribing = frame.method === "resources/subscribe";
    if (!subscribing && frame.method !== "resources/unsubscribe") return undefined;
    if (typeof uri !== "string" || (parseJson(answer) as { error?: unknown }).error !== undefined) return undefined;
    if (session.subscriptions.includes(uri) === subscribing) return undefined;
    return remember(id, (current) => {
      const others = current.subscriptions.filter((each) => each !== uri);
      return { ...current, subscriptions: subscribing ? [...others, uri].slice(-SUBSCRIPTIONS_MAX) : others };
    });
  }

  return {
    find,
    isFree: async (id, principal) =>
      !policy.hasEnded(id) && ((await sessions.get(id)) === undefined || (await find(id, principal)) !== undefined),
    async begin(id, frame, principal, { headers }) {
      const asked = frame.params?.["protocolVersion"];
      const info = asObject(frame.params?.["clientInfo"]);
      const capabilities = asObject(frame.params?.["capabilities"]) ?? {};
      if (JSON.stringify([info, capabilities]).length > CLIENT_MAX_CHARS) return undefined;
      const session: Session = {
        principal: principal.id,
        tenant: principal.tenant,
        protocol: LEGACY_REVISIONS.find((each) => each === asked) ?? LATEST_LEGACY_REVISION,
        client: clientName(frame.params, "clientInfo"),
        side: {
          era: "legacy",
          capabilities,
          ...(info === undefined ? {} : { info }),
          ...workspaceOf(headers),
        },
        subscriptions: [],
        begunAt: Date.now(),
        runners: {},
      };
      await sessions.put(id, session);
      return session;
    },
    async end(id, principal) {
      const open = await find(id, principal);
      if (!open) return false;
      await forgetSession(open, { bus, sessions });
      return true;
    },
    async setLogLevel({ id }, logLevel) {
      await sessions.update(id, (current) => ({ ...current, side: { ...current.side, logLevel } }));
    },
    async call(frame, context, open, sink) {
      const { id, session } = open;
      const key = callKey(id, frame.id);
      if (underWay.has(key)) {
        const message = `a request with id ${JSON.stringify(frame.id)} is under way in this session`;
        return { kind: "error", id: frame.id, error: { status: 200, code: RPC.invalidRequest, message } };
      }
      const own: UnderWay = { id: undefined, abandoned: false, giveUp: () => undefined };
      underWay.set(key, own);
      const forget = () => underWay.delete(key);
      const { protocol, client, side, runners } = session;
      const about = { era: "legacy" as const, protocol, client, side, session: id };
      const runnerOf = (server: string) => (Object.hasOwn(runners, server) ? runners[server] : undefined);
      const onRunner = (server: string, runner: string) => {
        if (runnerOf(server) === runner) return;
        void remember(id, (current) => ({ ...current, runners: { ...current.runners, [server]: runner } }));
      };
      try {
        const answer = await callServer(
          frame,
          context,
          { ...about, runnerOf, onRunner },
          {
            wantsStream: sink.wantsStream ?? false,
            onWaiting(giveUp) {
              own.giveUp = giveUp;
              if (own.abandoned) giveUp();
              sink.onWaiting?.(giveUp);
            },
            onFrame: (text, eventId) => sink.onFrame(text, eventId),
            onFinal(text, eventId) {
              forget();
              const changed = onAnswered(open, frame, text);
              if (changed) void changed.then(() => sink.onFinal(text, eventId));
              else sink.onFinal(text, eventId);
            },
            onFailure: (error) => (forget(), sink.onFailure(error)),
          },
        );
        if (answer.kind !== "call") forget();
        else if (own.abandoned) calls.cancel(answer.callId);
        else own.id = answer.callId;
        return answer;
      } catch (error) {
        forget();
        throw error;
      }
    },
    cancel({ id }, requestId) {
      if (typeof requestId !== "string" && typeof requestId !== "number") return;
      const abandoned = { session: id, requestId };
      // Another replica may have taken the request.
      if (!abandon(abandoned)) publishAbandoned(bus, abandoned);
    },
    answer({ id }, frame) {
      const runner = runnerOfQuestion(frame.id);
      if (runner !== undefined) publishAnswer(bus, runner, { envelope: { session: id }, frame: frame.text });
    },
    notify({ id, session }, frame) {
      for (const runner of new Set(Object.values(session.runners)))
        publishAnswer(bus, runner, { envelope: { session: id }, frame: frame.text });
    },
  };
}

export async function forgetSession(
  { id, session }: OpenSession,
  { bus, sessions }: { bus: Bus; sessions: SessionStore<Session> },
): Promise<void> {
  await sessions.delete(id);
  // Its servers' processes are of no use to anybody else.
  for (const runner of new Set(Object.values(session.runners)))
    publishAnswer(bus, runner, { envelope: { session: id, ended: true }, frame: "{}" });
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

function callKey(session: string, requestId: RequestId): string {
  return `${session}\n${typeof requestId}\n${requestId}`;
}
