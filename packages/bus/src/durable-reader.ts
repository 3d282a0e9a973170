import {
  AckPolicy,
  type Consumer,
  type ConsumerConfig,
  type ConsumerInfo,
  type ConsumerMessages,
  DeliverPolicy,
  type JsMsg,
} from "@nats-io/jetstream";
import type { Bus } from "./connection.ts";
import { batchesOf, endOfEvents, type StreamedEvent, type StreamPosition } from "./read-events.ts";

const NANOS_PER_MS = 1_000_000;
const FETCH_MESSAGES_MAX = 64;
const FETCH_EXPIRES_MS = 5_000;
/** Messages delivered and not acknowledged: of the batch in hand, where each holds one event, and what was fetched behind. */
const ACK_PENDING_MAX = 8_192;
/** Longer than the stream keeps anything: nothing is delivered a second time to the same reader. */
const ACK_WAIT_MS = 30 * 86_400_000;
const ACK_TIMEOUT_MS = 5_000;

/** With what comes from now on, with all that the stream holds, or with what it took at a time (Unix milliseconds). */
export type DurableBeginning = "now" | "beginning" | number;

export interface DurableBatch {
  readonly events: readonly StreamedEvent[];
  /** Of its last message. */
  readonly position: StreamPosition;
  /** The reader never gets it again, nor anything before it. @throws {Error} when the stream did not say so in time */
  acknowledge(): Promise<void>;
}

interface DurableOptions {
  /** Of a-z, 0-9 and -. */
  readonly name: string;
  /** Where a name begins that was never read under before. */
  readonly begin: DurableBeginning;
  /** What was acknowledged last, if the caller remembers: should the stream have lost the place, or all of itself. */
  readonly last: StreamPosition | undefined;
  /** Only these; none named: all. */
  readonly tenants: readonly string[];
  readonly kinds: readonly string[];
  readonly batchMax: number;
  readonly batchWaitMs: number;
  /** So many messages have aged out since the last one was acknowledged; some may have been wanted. */
  readonly onGap: (messages: number) => void;
  readonly signal: AbortSignal;
}

/**
 * Reads AUDIT in its order under a name, whose place the stream keeps: at least once, and never again what was
 * acknowledged. The place is a durable consumer's. Each reader makes one of its own, `<name>_<number>`, where its
 * predecessor's acknowledgements end, and deletes that: what the predecessor had in hand comes at once and in order, the
 * filter may be another one, and a predecessor that still lives is noticed to be none.
 * @throws {Error} when the stream cannot be read, a message was lost on its way or there is a newer reader
 */
export async function* readDurably(bus: Bus, options: DurableOptions): AsyncGenerator<DurableBatch, void, undefined> {
  const ending = new AbortController();
  const signal = AbortSignal.any([options.signal, ending.signal]);
  const { consumer, stream } = await open(bus, options);
  const delivered = new Map<number, JsMsg>();
  const messages = messagesOf(consumer, delivered, signal);
  try {
    for await (const { events, position } of batchesOf(messages, { stream, expected: undefined }, options)) {
      const last = delivered.get(position.sequence)!;
      const acknowledge = async (): Promise<void> => {
        // Of this one and of all before it.
        if (!(await last.ackAck({ timeout: ACK_TIMEOUT_MS })))
          throw new Error("the stream did not take an acknowledgement");
        for (const sequence of delivered.keys()) if (sequence <= position.sequence) delivered.delete(sequence);
      };
      yield { events, position, acknowledge };
    }
  } finally {
    ending.abort();
    void messages.return();
  }
}

/** For each name that begins with `prefix`, and has been read under, how many messages of the stream it does not have yet. */
export async function durableLags(bus: Bus, prefix: string): Promise<Map<string, number>> {
  const lags = new Map<string, number>();
  for await (const info of bus.jsm.consumers.list(bus.subjects.streams.audit)) {
    const name = nameOf(info);
    if (name?.startsWith(prefix) !== true) continue;
    const lag = info.num_pending + info.num_ack_pending;
    // Of two, which there are for a moment, the newer one has less before it.
    lags.set(name, Math.min(lag, lags.get(name) ?? lag));
  }
  return lags;
}

/** Nobody reads under this name any more; whoever does so later begins anew. */
export async function forgetDurable(bus: Bus, name: string): Promise<void> {
  for (const { info } of await consumersOf(bus, name)) await remove(bus, info);
}

async function open(bus: Bus, options: DurableOptions): Promise<{ consumer: Consumer; stream: string }> {
  const { name, tenants, kinds, last, onGap } = options;
  const { subjects, jsm, js } = bus;
  const end = await endOfEvents(bus);
  const predecessors = await consumersOf(bus, name);
  const start = startOf(predecessors, options, end);
  // The place itself moves along with the stream's beginning.
  if (last?.stream === end.stream && last.sequence + 1 < end.first) onGap(end.first - last.sequence - 1);
  const number = 1 + Math.max(0, ...predecessors.map((each) => each.number));
  const info = await jsm.consumers.add(subjects.streams.audit, {
    ...start,
    durable_name: `${name}_${number}`,
    filter_subjects: orNone(tenants).flatMap((tenant) =>
      orNone(kinds).map((kind) => subjects.auditOf({ tenant, kind })),
    ),
    ack_policy: AckPolicy.All,
    ack_wait: ACK_WAIT_MS * NANOS_PER_MS,
    max_ack_pending: ACK_PENDING_MAX,
  });
  for (const predecessor of predecessors) await remove(bus, predecessor.info);
  return { consumer: js.consumers.getConsumerFromInfo(info), stream: end.stream };
}

/** Each once: filters must not overlap. */
const orNone = (names: readonly string[]): readonly (string | undefined)[] =>
  names.length === 0 ? [undefined] : [...new Set(names)];

/** Where acknowledgements end; where there are none, where the predecessor was to begin; else where `begin` says. */
function startOf(
  predecessors: readonly { info: ConsumerInfo }[],
  { begin, last }: Pick<DurableOptions, "begin" | "last">,
  end: { stream: string; last: number },
): Partial<ConsumerConfig> {
  const acknowledged = Math.max(0, ...predecessors.map(({ info }) => info.ack_floor.stream_seq));
  if (acknowledged > 0) return after(acknowledged);
  const first = predecessors[0]?.info.config;
  if (first?.opt_start_seq !== undefined && first.opt_start_seq > 0) return after(first.opt_start_seq - 1);
  if (first?.opt_start_time !== undefined) return fromTime(first.opt_start_time);
  // Of a stream that was made anew nothing was read yet.
  if (last !== undefined) return after(last.stream === end.stream ? last.sequence : 0);
  if (begin === "now") return after(end.last);
  if (begin === "beginning") return after(0);
  return fromTime(new Date(begin).toISOString());
}

const after = (sequence: number) => ({ deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: sequence + 1 });
const fromTime = (time: string) => ({ deliver_policy: DeliverPolicy.StartTime, opt_start_time: time });

const NUMBERED = /^(.+)_(\d+)$/;

function nameOf(info: ConsumerInfo): string | undefined {
  return NUMBERED.exec(info.name)?.[1];
}

/** Oldest first. */
async function consumersOf(bus: Bus, name: string): Promise<{ info: ConsumerInfo; number: number }[]> {
  const found: { info: ConsumerInfo; number: number }[] = [];
  for await (const info of bus.jsm.consumers.list(bus.subjects.streams.audit)) {
    if (nameOf(info) === name) found.push({ info, number: Number(NUMBERED.exec(info.name)![2]) });
  }
  return found.toSorted((one, other) => one.number - other.number);
}

async function remove(bus: Bus, info: ConsumerInfo): Promise<void> {
  try {
    await bus.jsm.consumers.delete(info.stream_name, info.name);
  } catch (error) {
    const isThere = await bus.jsm.consumers.info(info.stream_name, info.name).then(
      () => true,
      () => false,
    );
    if (isThere) throw error;
  }
}

/** @throws {Error} when a message was lost on its way, or the consumer is there no more */
async function* messagesOf(
  consumer: Consumer,
  delivered: Map<number, JsMsg>,
  signal: AbortSignal,
): AsyncGenerator<JsMsg, void, undefined> {
  let place = 0;
  let messages: ConsumerMessages | undefined;
  signal.addEventListener("abort", () => void messages?.close(), { once: true });
  while (!signal.aborted) {
    messages = await consumer.fetch({ max_messages: FETCH_MESSAGES_MAX, expires: FETCH_EXPIRES_MS });
    for await (const message of messages) {
      if (message.info.deliverySequence !== (place += 1)) throw new Error("a message was lost on its way");
      delivered.set(message.seq, message);
      yield message;
    }
  }
}
