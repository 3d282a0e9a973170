import {
  type Bus,
  connectBus,
  consumeBoundCalls,
  consumeCalls,
  createReplySender,
  type Framed,
  publishToSession,
  publishUpdate,
  subscribeAnswers,
  subscribeCancels,
  subscribeInterests,
} from "@tollgate/bus";
import {
  type AnswerEnvelope,
  type CallEnvelope,
  type Interest,
  newCallId,
  type ReplyEnvelope,
  type ResourceUpdate,
  streamOwner,
} from "@tollgate/contracts";
import type { Life } from "@tollgate/service";
import { type Infrastructure, testLog } from "@tollgate/testkit";

type Call = Framed<CallEnvelope>;

/** A runner's side of the streams: what the gateway has put on CALLS, and whatever the test wants to answer. */
export interface AnsweringRunner {
  readonly bus: Bus;
  readonly name: string;
  readonly calls: Call[];
  /** Those of them that were for this runner alone. */
  readonly bound: Call[];
  readonly cancelled: string[];
  readonly answers: Framed<AnswerEnvelope>[];
  readonly interests: Interest[];
  onCall: (call: Call) => void;
  /** One frame; as part of a stream when it has a place. */
  send(call: Call, frame: object, reply: boolean | Partial<ReplyEnvelope>): void;
  /** The final answer, with the request's own id. */
  answer(call: Call, result?: object, reply?: Partial<ReplyEnvelope>): void;
  fail(call: Call, error: object): void;
  /** A resource of a server has changed. */
  update(update: ResourceUpdate): void;
  /** Says something to a session outside of its calls. */
  say(session: string, frame: object): Promise<void>;
}

export async function startRunner(
  infra: Infrastructure,
  options: { group: string; life: Life; name?: string },
): Promise<AnsweringRunner> {
  const { group, life, name = "r-test" } = options;
  const bus = await connectBus({
    url: infra.natsUrl,
    name: "runner",
    prefix: infra.busPrefix,
    log: testLog,
    signal: life.signal,
  });
  life.onClose("runner's bus", 5_000, () => bus.drain());
  const replies = createReplySender(bus);
  const idOf = (call: Call) => (JSON.parse(call.frame) as { id: unknown }).id;
  const runner: AnsweringRunner = {
    bus,
    name,
    calls: [],
    bound: [],
    cancelled: [],
    answers: [],
    interests: [],
    onCall: (call) => runner.answer(call),
    send({ envelope: { id, gateway, facts } }, frame, reply) {
      const more = typeof reply === "boolean" ? { final: reply } : reply;
      const owner = more.place === undefined ? {} : { owner: streamOwner(facts) };
      replies.send(gateway, { envelope: { id, final: false, ...owner, ...more }, frame: JSON.stringify(frame) });
    },
    answer(call, result = { content: [{ type: "text", text: "done" }] }, reply = {}) {
      runner.send(call, { jsonrpc: "2.0", id: idOf(call), result }, { final: true, ...reply });
    },
    fail(call, error) {
      runner.send(call, { jsonrpc: "2.0", id: idOf(call), error }, true);
    },
    update(update) {
      const frame = {
        jsonrpc: "2.0",
        method: "notifications/resources/updated",
        params: { uri: update.uri, kept: 1.5 },
      };
      publishUpdate(bus, { envelope: update, frame: JSON.stringify(frame) });
    },
    say: (session, frame) => publishToSession(bus, session, newCallId(Date.now()), JSON.stringify(frame)),
  };
  const take = (call: Call): void => {
    runner.calls.push(call);
    runner.onCall(call);
  };
  await consumeCalls(bus, group, (delivery) => {
    delivery.acknowledge();
    delivery.calls.forEach(take);
  });
  await consumeBoundCalls(bus, { group, runner: name }, (delivery) => {
    delivery.acknowledge();
    runner.bound.push(...delivery.calls);
    delivery.calls.forEach(take);
  });
  subscribeCancels(bus, group, (id) => runner.cancelled.push(id));
  subscribeAnswers(bus, name, (answer) => runner.answers.push(answer));
  subscribeInterests(bus, group, (interest) => runner.interests.push(interest));
  await bus.connection.flush();
  return runner;
}
