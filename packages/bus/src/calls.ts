import { AckPolicy, type ConsumerMessages, type JsMsg } from "@nats-io/jetstream";
import type { Subscription } from "@nats-io/transport-node";
import { type CallEnvelope, isCallId, type Lane } from "@tollgate/contracts";
import { type Batcher, createBatcher } from "./batcher.ts";
import type { Bus } from "./connection.ts";
import { putAside } from "./dead-letters.ts";
import { decodeFrames, encodeFrames, type Framed } from "./framing.ts";
import { publishAcknowledged } from "./publish.ts";

const NANOS_PER_MS = 1_000_000;
const BATCH_CALLS_MAX = 64;
const BATCH_BYTES_MAX = 512 * 1024;
const SUBJECTS_MAX = 10_000;
/** About what an envelope adds to its frame. */
const ENVELOPE_BYTES = 700;
/** After this long without a word from the runner that has a message, another one gets it. */
const ACK_WAIT_MS = 6_000;
/**
 * Messages that a group's runners have in hand together. Whose turn it is they decide, so what waits has to be with them
 * and not behind one tenant's backlog on the stream: this is more than gateways let in. Their bounds, on calls under way
 * and on a request's bytes, are what bounds the runners' memory.
 */
const ACK_PENDING_MAX = 10_000;
/** The durable of a runner that is gone goes after this long. What it had not acknowledged is past its deadline then. */
const DURABLE_IDLE_MS = 3_600_000;
/** Messages a runner takes ahead; each carries up to 64 calls. */
const PREFETCH_MAX = 64;

export interface CallPublisher {
  /**
   * Resolves when the call is on the stream. Rejects as `publishAcknowledged` does, or `overloaded` at once. With
   * `runner` it is for that one, or for whichever of its group takes over when it is gone.
   */
  publish(
    route: { group: string; lane: Lane; tenant: string; runner?: string | undefined },
    call: Framed<CallEnvelope>,
  ): Promise<void>;
}

/** The gateway's side of CALLS: one batcher per subject. */
export function createCallPublisher(bus: Bus, options: { waitingMax: number; timeoutMs: number }): CallPublisher {
  const batchers = new Map<string, Batcher<Framed<CallEnvelope>>>();

  function batcherFor(subject: string): Batcher<Framed<CallEnvelope>> {
    let batcher = batchers.get(subject);
    if (batcher === undefined) {
      if (batchers.size >= SUBJECTS_MAX) for (const [key, each] of batchers) if (each.size === 0) batchers.delete(key);
      batcher = createBatcher({
        name: "calls waiting for the stream",
        send: (calls) =>
          publishAcknowledged(bus, {
            subject,
            payload: encodeFrames(calls),
            id: calls[0]!.envelope.id,
            untilMs: Date.now() + options.timeoutMs,
          }),
        itemsMax: BATCH_CALLS_MAX,
        bytesMax: BATCH_BYTES_MAX,
        inFlightMax: 4,
        waitingMax: options.waitingMax,
      });
      batchers.set(subject, batcher);
    }
    return batcher;
  }

  return {
    publish({ group, lane, tenant, runner }, call) {
      const { subjects } = bus;
      const subject = runner === undefined ? subjects.call(group, lane, tenant) : subjects.callTo(group, runner);
      return batcherFor(subject).push(call, call.frame.length + ENVELOPE_BYTES);
    },
  };
}

/** One message of CALLS in a runner's hands. Until `acknowledge`, another runner gets it when this one falls silent. */
export interface Delivery {
  readonly calls: Framed<CallEnvelope>[];
  /** 1 the first time. */
  readonly deliveryCount: number;
  /** Unix milliseconds at which the stream took the message. */
  readonly storedAt: number;
  /** Says that the work goes on; due well within the acknowledgement's wait. */
  extend(): void;
  acknowledge(): void;
}

/** How often a runner has to call `extend`. */
export const EXTEND_INTERVAL_MS = ACK_WAIT_MS / 4;
/** After this long without `extend` a message may be in another runner's hands. */
export const SILENCE_MAX_MS = ACK_WAIT_MS - 500;

export interface CallConsumer {
  /** Takes no more; what was delivered stays valid. */
  stop(): Promise<void>;
}

/** A runner's side of CALLS for one group: what any runner of the group may take. */
export function consumeCalls(bus: Bus, group: string, onDelivery: (delivery: Delivery) => void): Promise<CallConsumer> {
  const { runnersDurable, callsOfGroup } = bus.subjects;
  return consume(bus, { durable: runnersDurable(group), filters: callsOfGroup(group) }, onDelivery);
}

/** What is bound to one runner. Whoever takes over from a runner that is gone consumes in its place. */
export function consumeBoundCalls(
  bus: Bus,
  { group, runner }: { group: string; runner: string },
  onDelivery: (delivery: Delivery) => void,
): Promise<CallConsumer> {
  const { runnerDurable, callTo } = bus.subjects;
  const filters = [callTo(group, runner)];
  return consume(bus, { durable: runnerDurable(group, runner), filters, idleMs: DURABLE_IDLE_MS }, onDelivery);
}

async function consume(
  bus: Bus,
  { durable, filters, idleMs }: { durable: string; filters: string[]; idleMs?: number },
  onDelivery: (delivery: Delivery) => void,
): Promise<CallConsumer> {
  const changeable = { ack_wait: ACK_WAIT_MS * NANOS_PER_MS, max_ack_pending: ACK_PENDING_MAX };
  await bus.jsm.consumers
    .add(bus.subjects.streams.calls, {
      durable_name: durable,
      ack_policy: AckPolicy.Explicit,
      ...changeable,
      ...(idleMs === undefined ? {} : { inactive_threshold: idleMs * NANOS_PER_MS }),
      filter_subjects: filters,
    })
    // A runner of another release has made it, with other settings.
    .catch(() => bus.jsm.consumers.update(bus.subjects.streams.calls, durable, changeable));
  const consumer = await bus.js.consumers.get(bus.subjects.streams.calls, durable);
  const messages: ConsumerMessages = await consumer.consume({
    max_messages: PREFETCH_MAX,
    callback: (message) => {
      const delivery = toDelivery(bus, message);
      if (!delivery) return;
      try {
        onDelivery(delivery);
      } catch (error) {
        // Thrown on, it would end the consumer, without a word, for every call to come.
        bus.log.error({ err: error, durable }, "calls could not be taken; they come again");
      }
    },
  });
  return { stop: () => stopTaking(bus, messages) };
}

/**
 * The library's `close` drops messages that are on their way here; they would be delivered a second time, and their
 * calls that may not run twice end as unknown, though nobody has begun them. So its subscription, which it does not
 * show, is drained: those still come, but for one that the server has not yet put on its way. It then closes by itself.
 */
async function stopTaking(bus: Bus, messages: ConsumerMessages): Promise<void> {
  const { sub } = messages as unknown as { sub?: Subscription };
  if (sub === undefined || sub.isClosed() || bus.problem() !== undefined) return void (await messages.close());
  await sub.drain();
  await messages.closed();
}

function toDelivery(bus: Bus, message: JsMsg): Delivery | undefined {
  try {
    const calls = decodeFrames<CallEnvelope>(message.string());
    for (const { envelope } of calls) checkEnvelope(envelope);
    return {
      calls,
      deliveryCount: message.info.deliveryCount,
      storedAt: message.info.timestampNanos / NANOS_PER_MS,
      extend: () => message.working(),
      acknowledge: () => acknowledge(bus, message),
    };
  } catch (error) {
    bus.log.error({ err: error, subject: message.subject }, "a call message that no gateway of ours wrote; put aside");
    void putAside(bus, {
      service: "runner",
      subject: message.subject,
      reason: (error as Error).message,
      text: message.string(),
      id: `dead-${message.info.stream}-${message.info.streamSequence}`,
      untilMs: Date.now() + ACK_WAIT_MS,
    }).then(
      () => message.term("not a call message"),
      (failure: unknown) => bus.log.error({ err: failure }, "could not be put aside; it comes again"),
    );
    return undefined;
  }
}

/** In the same tick, behind the replies that are ready: they share a write, and clients come first. */
function acknowledge(bus: Bus, message: JsMsg): void {
  process.nextTick(() => {
    try {
      message.ack();
    } catch (error) {
      bus.log.warn({ err: error }, "a message could not be acknowledged; it comes again and is recognised");
    }
  });
}

const FACTS = ["principal", "tenant", "team", "client", "group", "server", "tool", "method"] as const;

/** What a runner uses of an envelope without looking again. */
function checkEnvelope({ id, gateway, deadline, facts }: Partial<CallEnvelope>): void {
  if (!isCallId(id)) throw new Error("an envelope whose id is not a UUIDv7");
  if (typeof gateway !== "string") throw new Error("an envelope without a gateway");
  if (!Number.isFinite(deadline)) throw new Error("an envelope without a deadline");
  for (const name of FACTS) if (typeof facts?.[name] !== "string") throw new Error(`an envelope without a ${name}`);
  if (typeof facts?.decision !== "object") throw new Error("an envelope without a decision");
}

/** Tells every runner of a group that a client has cancelled a call. At most once: a lost one costs only work. */
export function publishCancel(bus: Bus, group: string, callId: string): void {
  bus.connection.publish(bus.subjects.cancel(group), callId);
}

export function subscribeCancels(bus: Bus, group: string, onCancel: (callId: string) => void): void {
  bus.connection.subscribe(bus.subjects.cancel(group), {
    callback: (error, message) => {
      if (!error) onCancel(message.string());
    },
  });
}
