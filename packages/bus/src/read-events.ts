import { setImmediate as immediate, setTimeout as delay } from "node:timers/promises";
import {
  AckPolicy,
  type Consumer,
  type ConsumerConfig,
  type ConsumerMessages,
  DeliverPolicy,
  type JsMsg,
} from "@nats-io/jetstream";
import { type AuditEvent, parseAuditEvent } from "@tollgate/contracts";
import type { Bus } from "./connection.ts";
import { putAside } from "./dead-letters.ts";

const NANOS_PER_MS = 1_000_000;
/** Messages on their way to a reader: with their usual bound of 256 KiB far below what a process has. */
const FETCH_MESSAGES_MAX = 200;
const FETCH_EXPIRES_MS = 5_000;
/** A reader that has not asked for so long is opened anew when it does. */
const INACTIVE_MS = 60_000;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;
const DEAD_TIMEOUT_MS = 10_000;
/** A delivered message has its time as a number of nanoseconds, which JavaScript rounds. */
const ROUNDING_MS = 1;

/** One event of AUDIT in stream order. `line` is its JSON as it stands on the stream. */
export interface StreamedEvent {
  readonly event: AuditEvent;
  readonly line: string;
  /** The message's sequence on the stream. */
  readonly sequence: number;
}

/** A line of a message that is no event. */
export interface BadLine {
  readonly subject: string;
  readonly sequence: number;
  /** Its place in the message. */
  readonly at: number;
  readonly line: string;
  readonly reason: string;
}

/** A message of one stream. */
export interface StreamPosition {
  /** When the stream was made, in its own words: the numbers of one that was made anew begin at 1 again. Empty: any. */
  readonly stream: string;
  readonly sequence: number;
  /** Unix milliseconds at which the stream took the message: another one's number is not taken for this one's. */
  readonly publishedAtMs?: number;
}

export interface ReadBatch {
  readonly events: readonly StreamedEvent[];
  readonly badLines: readonly BadLine[];
  /** Of the last message, which is part of the batch as a whole. */
  readonly position: Required<StreamPosition>;
  /** Messages behind it. */
  readonly pending: number;
  /** Messages before the batch or in it that were on the stream once and are not any more. Only without a filter. */
  readonly missing?: { readonly from: number; readonly to: number };
}

/** Where to begin: after a message, at a time, or with what comes from now on. */
type Beginning = StreamPosition | { readonly fromMs: number } | "now";

interface ReadOptions {
  readonly from: Beginning;
  readonly tenant?: string;
  readonly kind?: string;
  readonly batchMax: number;
  readonly batchWaitMs: number;
  readonly signal: AbortSignal;
}

/**
 * Reads AUDIT in its order, every message once, for as long as `signal` lets it: what is there and then what comes.
 * A batch is handed over as soon as it has `batchMax` events, or `batchWaitMs` after its first. The reader survives
 * lost connections and servers that start anew. Nothing is read ahead while nobody asks for the next batch, but what
 * is under way already.
 *
 * A stream that was made anew, or that has lost its end, is read from its beginning: who records finds duplicates by
 * their ids.
 */
export async function* readEvents(bus: Bus, options: ReadOptions): AsyncGenerator<ReadBatch, void, undefined> {
  const { signal } = options;
  let from = options.from;
  let retryMs = RETRY_MIN_MS;
  while (!signal.aborted) {
    const ending = new AbortController();
    let messages: AsyncGenerator<JsMsg, void, undefined> | undefined;
    try {
      const opened = await open(bus, { ...options, from });
      messages = messagesOf(opened.consumer, AbortSignal.any([signal, ending.signal]));
      for await (const batch of batchesOf(messages, opened, options)) {
        retryMs = RETRY_MIN_MS;
        from = batch.position;
        yield batch;
      }
    } catch (error) {
      if (signal.aborted) return;
      bus.log.warn({ err: error, retryMs }, "AUDIT cannot be read; trying again");
      await delay(retryMs, undefined, { signal }).catch(() => {});
      retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
    } finally {
      ending.abort();
      void messages?.return();
    }
  }
}

/** How far AUDIT goes. */
export async function endOfEvents(bus: Bus): Promise<{ stream: string; first: number; last: number }> {
  const { created, state } = await bus.jsm.streams.info(bus.subjects.streams.audit);
  return { stream: created, first: state.first_seq, last: state.last_seq };
}

/** Keeps a line that is no event where a person finds it; once, however often this is tried. */
export async function putLineAside(bus: Bus, service: string, bad: BadLine): Promise<void> {
  const { subject, sequence, at, line, reason } = bad;
  bus.log.error({ service, sequence, reason }, "a line on AUDIT that is no event; put aside");
  await putAside(bus, {
    service,
    subject,
    reason,
    text: line,
    id: `dead-${service}-${sequence}-${at}`,
    untilMs: Date.now() + DEAD_TIMEOUT_MS,
  });
}

interface Opened {
  readonly consumer: Consumer;
  readonly stream: string;
  /** The number that the first message has to have; undefined where any may be the first. */
  readonly expected: number | undefined;
}

async function open(bus: Bus, { from, tenant, kind }: ReadOptions): Promise<Opened> {
  const { subjects, jsm, js } = bus;
  const end = await endOfEvents(bus);
  const start = await startOf(bus, from, end);
  const info = await jsm.consumers.add(subjects.streams.audit, {
    ...start.config,
    filter_subject: subjects.auditOf({ tenant, kind }),
    ack_policy: AckPolicy.None,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: INACTIVE_MS * NANOS_PER_MS,
  });
  const unfiltered = tenant === undefined && kind === undefined;
  return {
    consumer: js.consumers.getConsumerFromInfo(info),
    stream: end.stream,
    expected: unfiltered ? start.expected : undefined,
  };
}

async function startOf(
  bus: Bus,
  from: Beginning,
  end: { stream: string; last: number },
): Promise<{ config: Partial<ConsumerConfig>; expected?: number }> {
  if (from === "now") return { config: { deliver_policy: DeliverPolicy.New } };
  if ("fromMs" in from)
    return {
      config: { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(from.fromMs).toISOString() },
    };
  const goesOn = await isOf(bus, from, end);
  if (!goesOn)
    bus.log.warn({ from, end }, "AUDIT is not the stream that was read before: reading it from its beginning");
  const after = goesOn ? from.sequence : 0;
  return {
    config: { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: after + 1 },
    ...(goesOn && from.stream !== "" ? { expected: after + 1 } : {}),
  };
}

/** Whether the stream that is there is the one of this position: not made anew, and nothing cut off its end. */
async function isOf(bus: Bus, position: StreamPosition, end: { stream: string; last: number }): Promise<boolean> {
  if (position.sequence === 0) return true;
  if (position.stream !== "" && position.stream !== end.stream) return false;
  if (position.sequence > end.last) return false;
  if (position.publishedAtMs === undefined) return true;
  const message = await bus.jsm.streams.getMessage(bus.subjects.streams.audit, { seq: position.sequence });
  // Null: it has aged out.
  return message === null || Math.abs(message.time.getTime() - position.publishedAtMs) <= ROUNDING_MS;
}

/** @throws {Error} when a message was lost on its way, or the consumer is there no more: the reader begins anew */
async function* messagesOf(consumer: Consumer, signal: AbortSignal): AsyncGenerator<JsMsg, void, undefined> {
  let delivered = 0;
  let messages: ConsumerMessages | undefined;
  signal.addEventListener("abort", () => void messages?.close(), { once: true });
  try {
    while (!signal.aborted) {
      messages = await consumer.fetch({ max_messages: FETCH_MESSAGES_MAX, expires: FETCH_EXPIRES_MS });
      for await (const message of messages) {
        if (message.info.deliverySequence !== (delivered += 1)) throw new Error("a message was lost on its way");
        yield message;
      }
    }
  } finally {
    // It would be there for a minute.
    consumer.delete().catch(() => {});
  }
}

function readLines(message: JsMsg, into: { events: StreamedEvent[]; badLines: BadLine[] }): void {
  const { subject, seq: sequence } = message;
  for (const [at, line] of message.string().split("\n").entries()) {
    const parsed = parseAuditEvent(line);
    if (parsed.ok) into.events.push({ event: parsed.value, line, sequence });
    else into.badLines.push({ subject, sequence, at, line, reason: parsed.reason });
  }
}

/** Ends with the messages. */
export async function* batchesOf(
  messages: AsyncGenerator<JsMsg, void, undefined>,
  { stream, expected }: Pick<Opened, "stream" | "expected">,
  { batchMax, batchWaitMs }: Pick<ReadOptions, "batchMax" | "batchWaitMs">,
): AsyncGenerator<ReadBatch, void, undefined> {
  let wanted = expected;
  let next = messages.next();
  for (;;) {
    const batch = { events: [] as StreamedEvent[], badLines: [] as BadLine[] };
    let last: JsMsg | undefined;
    let missing: ReadBatch["missing"];
    let timer: NodeJS.Timeout | undefined;
    let late: Promise<undefined> | undefined;
    try {
      while (batch.events.length < batchMax) {
        const result = await (late === undefined ? next : Promise.race([next, late]));
        if (result === undefined || result.done) break;
        next = messages.next();
        // Whoever waits for it hears of it; until then nobody does.
        next.catch(() => {});
        last = result.value;
        late ??= new Promise((resolve) => (timer = setTimeout(resolve, batchWaitMs, undefined)));
        if (wanted !== undefined && last.seq > wanted) missing = { from: missing?.from ?? wanted, to: last.seq - 1 };
        if (wanted !== undefined) wanted = last.seq + 1;
        readLines(last, batch);
        // All that is there, parsed in one go, would keep waiting whoever stores the batch before.
        await immediate();
      }
    } finally {
      clearTimeout(timer);
    }
    if (last === undefined) return;
    yield {
      ...batch,
      position: { stream, sequence: last.seq, publishedAtMs: last.time.getTime() },
      pending: last.info.pending,
      ...(missing === undefined ? {} : { missing }),
    };
  }
}
