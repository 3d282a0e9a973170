import { setTimeout as delay } from "node:timers/promises";
import { AckPolicy, type JsMsg } from "@nats-io/jetstream";
import { parseAuditEvent } from "@tollgate/contracts";
import type { Bus } from "./connection.ts";
import { putAside } from "./dead-letters.ts";
import type { StreamedEvent } from "./read-events.ts";

const NANOS_PER_MS = 1_000_000;
/** Long enough for a database that is slow, short enough that a crashed replica's messages come back soon. */
const ACK_WAIT_MS = 9_000;
const EXTEND_INTERVAL_MS = 3_000;
const ACK_PENDING_MAX = 1_000;
const PREFETCH_MAX = 500;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;
const DEAD_TIMEOUT_MS = 10_000;

/** A line of a message that is no event. */
interface BadLine {
  readonly message: JsMsg;
  /** Its place in the message. */
  readonly at: number;
  readonly line: string;
  readonly reason: string;
}

/** What is stored and then acknowledged together. */
interface Batch {
  readonly events: readonly StreamedEvent[];
  readonly badLines: readonly BadLine[];
  readonly messages: readonly JsMsg[];
}

/** Messages of AUDIT that a durable has not acknowledged yet; undefined while NATS cannot say. */
export async function readLag(bus: Bus, durable: string): Promise<number | undefined> {
  const info = await bus.jsm.consumers.info(bus.subjects.streams.audit, durable).catch(() => undefined);
  return info && info.num_pending + info.num_ack_pending;
}

export interface EventConsumer {
  /** Events delivered and not yet stored. */
  readonly waiting: number;
  /** Why the last batch could not be stored, or undefined. */
  problem(): string | undefined;
  stop(): Promise<void>;
}

/**
 * Reads AUDIT under a durable name and hands events over in batches: as soon as `batchMax` wait or `batchWaitMs` have
 * passed since the first. A batch that fails is tried again, with backoff, until it succeeds: a dead database delays
 * and never drops. A line that is no event goes to the service's dead letters.
 */
export async function consumeEvents(
  bus: Bus,
  options: {
    durable: string;
    /** Only this kind; every kind when absent. */
    kind?: string;
    batchMax: number;
    batchWaitMs: number;
    store: (events: readonly StreamedEvent[]) => Promise<void>;
    signal: AbortSignal;
  },
): Promise<EventConsumer> {
  const { durable, kind, batchMax, batchWaitMs, store, signal } = options;
  const { streams } = bus.subjects;
  await bus.jsm.consumers.add(streams.audit, {
    durable_name: durable,
    ack_policy: AckPolicy.Explicit,
    ack_wait: ACK_WAIT_MS * NANOS_PER_MS,
    max_ack_pending: ACK_PENDING_MAX,
    filter_subject: kind === undefined ? bus.subjects.allAudit : bus.subjects.auditOfKind(kind),
  });
  const consumer = await bus.js.consumers.get(streams.audit, durable);

  let events: StreamedEvent[] = [];
  let messages: JsMsg[] = [];
  let badLines: BadLine[] = [];
  /** Sequences of the messages in hand: what comes again meanwhile, after a lost connection, is not taken twice. */
  const held = new Set<number>();
  let timer: NodeJS.Timeout | undefined;
  let storing: Promise<void> | undefined;
  let problem: string | undefined;

  const begin = (): void => {
    // Before all else: a timer that ran out while a batch was being stored has to be set anew after it.
    clearTimeout(timer);
    timer = undefined;
    if (storing) return;
    const batch = { events, messages, badLines };
    events = [];
    messages = [];
    badLines = [];
    storing = storeUntilDone(batch).finally(() => {
      for (const message of batch.messages) held.delete(message.seq);
      storing = undefined;
      if (events.length >= batchMax) begin();
      else if (messages.length > 0) timer ??= setTimeout(begin, batchWaitMs);
    });
  };

  async function storeUntilDone(batch: Batch): Promise<void> {
    const extending = setInterval(() => {
      for (const message of [...batch.messages, ...messages]) message.working();
    }, EXTEND_INTERVAL_MS);
    try {
      for (let delayMs = RETRY_MIN_MS; !signal.aborted; delayMs = Math.min(delayMs * 2, RETRY_MAX_MS)) {
        try {
          if (batch.events.length > 0) await store(batch.events);
          for (const bad of batch.badLines) await putLineAside(bus, durable, bad);
          for (const message of batch.messages) message.ack();
          problem = undefined;
          return;
        } catch (error) {
          problem = (error as Error).message;
          bus.log.error(
            { err: error, events: batch.events.length, retryMs: delayMs },
            "events could not be stored yet",
          );
          await pause(delayMs, signal);
        }
      }
    } finally {
      clearInterval(extending);
    }
  }

  const subscription = await consumer.consume({
    max_messages: PREFETCH_MAX,
    callback: (message) => {
      if (held.has(message.seq)) return;
      held.add(message.seq);
      messages.push(message);
      for (const [at, line] of message.string().split("\n").entries()) {
        const parsed = parseAuditEvent(line);
        if (parsed.ok) events.push({ event: parsed.value, line, sequence: message.seq });
        else badLines.push({ message, at, line, reason: parsed.reason });
      }
      if (events.length >= batchMax) begin();
      else timer ??= setTimeout(begin, batchWaitMs);
    },
  });

  return {
    get waiting() {
      return events.length;
    },
    problem: () => problem,
    stop: async () => {
      await subscription.close();
      // More than once: when a batch is stored another one may have grown behind it.
      for (let last = storing; last !== undefined || (messages.length > 0 && !signal.aborted); last = storing) {
        begin();
        await storing;
      }
      clearTimeout(timer);
    },
  };
}

async function putLineAside(bus: Bus, durable: string, { message, at, line, reason }: BadLine): Promise<void> {
  bus.log.error({ durable, sequence: message.seq, reason }, "a line on AUDIT that is no event; put aside");
  await putAside(bus, {
    service: durable,
    subject: message.subject,
    reason,
    text: line,
    id: `dead-${durable}-${message.seq}-${at}`,
    untilMs: Date.now() + DEAD_TIMEOUT_MS,
  });
}

/** Ends early when `signal` aborts. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return delay(ms, undefined, { signal }).catch(() => {});
}
