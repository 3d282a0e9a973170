import { type Bus, connectBus, createCallPublisher, type Framed, publishCancel, subscribeReplies } from "@tollgate/bus";
import {
  type CallEnvelope,
  type CallEvent,
  type ClientSide,
  type FallbackTool,
  type Lane,
  newCallId,
  parseAuditEvent,
  type Recordable,
  type ReplyEnvelope,
} from "@tollgate/contracts";
import { type Life, openLife } from "@tollgate/service";
import { eventually, type Infrastructure, testLog } from "@tollgate/testkit";
import { afterAll, beforeAll, expect } from "vitest";

const GATEWAY = "g-test";

export interface CallOptions {
  readonly args?: object;
  readonly server?: string;
  readonly tenant?: string;
  readonly retrySafe?: boolean;
  readonly fallbacks?: readonly FallbackTool[];
  readonly lane?: Lane;
  readonly deadline?: number;
  readonly requestId?: string | number;
  readonly client?: Partial<ClientSide>;
  readonly session?: string;
  readonly principal?: string;
  readonly prefixed?: boolean;
  readonly parked?: string;
  readonly record?: readonly Recordable[];
  /** Of other methods than tools/call; `tool` is then their name or uri. */
  readonly method?: string;
  /** Of the request, beside or instead of a tool call's own. */
  readonly params?: object;
  readonly meta?: object;
  /** The runner that it is bound to. */
  readonly to?: string;
}

export interface Reply {
  readonly envelope: ReplyEnvelope;
  readonly frame: any;
}

/** The gateway's side of the streams: calls go out, replies and events are kept. */
export interface Traffic {
  readonly bus: Bus;
  /** As the gateway makes it. */
  call(tool: string, options?: CallOptions): Framed<CallEnvelope>;
  /** Puts a call on CALLS and returns its id. */
  send(tool: string, options?: CallOptions): Promise<string>;
  publish(call: Framed<CallEnvelope>, to?: string): Promise<void>;
  cancel(callId: string): Promise<void>;
  /** What came back for a call so far. */
  replies(callId: string): any[];
  /** The same with what is said of each. */
  replied(callId: string): readonly Reply[];
  /** The last frame for a call. */
  answer(callId: string): Promise<any>;
  /** All outcomes on AUDIT, or those of one call. */
  events(callId?: string): Promise<CallEvent[]>;
  /** The one outcome of a call. */
  outcome(callId: string): Promise<CallEvent>;
}

export function useTraffic(infra: Infrastructure): Traffic {
  const life: Life = openLife(testLog);
  const received = new Map<string, Reply[]>();
  let bus: Bus;
  let publisher: ReturnType<typeof createCallPublisher>;

  beforeAll(async () => {
    const options = { url: infra.natsUrl, name: "test", prefix: infra.busPrefix, log: testLog, signal: life.signal };
    bus = await connectBus(options);
    life.onClose("bus", 5_000, () => bus.drain());
    publisher = createCallPublisher(bus, { waitingMax: 1_000, timeoutMs: 10_000 });
    subscribeReplies(bus, GATEWAY, ({ envelope, frame }) => {
      const replies = received.get(envelope.id) ?? [];
      received.set(envelope.id, [...replies, { envelope, frame: JSON.parse(frame) }]);
    });
  });
  afterAll(() => life.close());

  const publish = (call: Framed<CallEnvelope>, runner?: string) =>
    publisher.publish({ group: "demo", lane: "interactive", tenant: call.envelope.facts.tenant, runner }, call);

  async function events(callId?: string): Promise<CallEvent[]> {
    const { audit } = bus.subjects.streams;
    if ((await bus.jsm.streams.info(audit)).state.messages === 0) return [];
    const found: CallEvent[] = [];
    const consumer = await bus.js.consumers.get(audit);
    for await (const message of await consumer.fetch({ max_messages: 1_000, expires: 1_000 })) {
      for (const line of message.string().split("\n")) {
        const parsed = parseAuditEvent(line);
        if (parsed.ok && parsed.value.kind === "call") found.push(parsed.value);
      }
      if (message.info.pending === 0) break;
    }
    return callId === undefined ? found : found.filter((event) => event.id === callId);
  }

  return {
    get bus() {
      return bus;
    },
    call: toCall,
    async send(tool, options) {
      const call = toCall(tool, options);
      await publish(call, options?.to);
      return call.envelope.id;
    },
    publish,
    async cancel(callId) {
      publishCancel(bus, "demo", callId);
      await bus.connection.flush();
    },
    replies: (callId) => (received.get(callId) ?? []).map(({ frame }) => frame),
    replied: (callId) => received.get(callId) ?? [],
    answer: (callId) =>
      eventually(() => {
        const final = received.get(callId)?.filter((reply) => reply.envelope.final) ?? [];
        expect(final).toHaveLength(1);
        return final[0]!.frame;
      }),
    events,
    outcome: (callId) =>
      eventually(async () => {
        const found = await events(callId);
        expect(found).toHaveLength(1);
        return found[0]!;
      }),
  };
}

function toCall(tool: string, options: CallOptions = {}): Framed<CallEnvelope> {
  const { args = {}, server = "fixture", tenant = "acme", retrySafe = false, requestId = 1 } = options;
  const acceptedAt = Date.now();
  const {
    method = "tools/call",
    meta = {},
    client,
    session,
    parked,
    fallbacks,
    lane,
    record,
    prefixed = false,
    principal = "token:dev",
  } = options;
  const own = method === "tools/call" ? { name: tool, arguments: args } : {};
  const params = { ...own, ...options.params, _meta: { progressToken: "p", ...meta } };
  return {
    envelope: {
      id: newCallId(acceptedAt),
      gateway: GATEWAY,
      deadline: options.deadline ?? acceptedAt + 30_000,
      retrySafe,
      prefixed,
      client: { era: "legacy", capabilities: {}, ...client },
      ...(parked === undefined ? {} : { parked }),
      ...(fallbacks === undefined ? {} : { fallbacks }),
      ...(lane === undefined ? {} : { lane }),
      ...(record === undefined ? {} : { record }),
      facts: {
        principal,
        tenant,
        team: "platform",
        client: "test/1.0",
        group: "demo",
        server,
        tool,
        method,
        ...(session === undefined ? {} : { session }),
        protocol: "2025-11-25",
        decision: { allow: true, policies: ["all"], revision: 1, reason: "allowed by all" },
        acceptedAt,
        requestBytes: 100,
      },
    },
    frame: JSON.stringify({ jsonrpc: "2.0", id: requestId, method, params }),
  };
}
