import { type Bus, connectBus, consumeCalls, createReplySender, type Framed, subscribeCancels } from "@tollgate/bus";
import type { CallEnvelope } from "@tollgate/contracts";
import type { Life } from "@tollgate/service";
import { type Infrastructure, testLog } from "@tollgate/testkit";

/** A runner's side of the streams: what the gateway has put on CALLS, and whatever the test wants to answer. */
export interface AnsweringRunner {
  readonly bus: Bus;
  readonly calls: Framed<CallEnvelope>[];
  readonly cancelled: string[];
  onCall: (call: Framed<CallEnvelope>) => void;
  send(call: Framed<CallEnvelope>, frame: object, final: boolean): void;
  /** The final answer, with the request's own id. */
  answer(call: Framed<CallEnvelope>, result?: object): void;
}

export async function startRunner(
  infra: Infrastructure,
  options: { group: string; life: Life },
): Promise<AnsweringRunner> {
  const { group, life } = options;
  const bus = await connectBus({
    url: infra.natsUrl,
    name: "runner",
    prefix: infra.busPrefix,
    log: testLog,
    signal: life.signal,
  });
  life.onClose("runner's bus", 5_000, () => bus.drain());
  const replies = createReplySender(bus);
  const runner: AnsweringRunner = {
    bus,
    calls: [],
    cancelled: [],
    onCall: (call) => runner.answer(call),
    send({ envelope: { id, gateway } }, frame, final) {
      replies.send(gateway, { envelope: { id, final }, frame: JSON.stringify(frame) });
    },
    answer(call, result = { content: [{ type: "text", text: "done" }] }) {
      const { id } = JSON.parse(call.frame) as { id: unknown };
      runner.send(call, { jsonrpc: "2.0", id, result }, true);
    },
  };
  await consumeCalls(bus, group, (delivery) => {
    delivery.acknowledge();
    for (const call of delivery.calls) {
      runner.calls.push(call);
      runner.onCall(call);
    }
  });
  subscribeCancels(bus, group, (id) => runner.cancelled.push(id));
  return runner;
}
