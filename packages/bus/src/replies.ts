import type { ReplyEnvelope } from "@tollgate/contracts";
import type { Bus } from "./connection.ts";
import { encodeFrames, type Framed } from "./framing.ts";
import { subscribeFramed } from "./notices.ts";

const BATCH_FRAMES_MAX = 256;
const BATCH_BYTES_MAX = 512 * 1024;

export interface ReplySender {
  /**
   * Sends with whatever else is ready for the same gateway in this tick. At most once: the outcome is on AUDIT. Frames of
   * a stream (with a `place`) are kept on REPLIES for a while as well.
   */
  send(gateway: string, reply: Framed<ReplyEnvelope>): void;
}

export function createReplySender(bus: Bus): ReplySender {
  const waiting = new Map<string, Framed<ReplyEnvelope>[]>();

  function flush(): void {
    const ready = [...waiting];
    waiting.clear();
    for (const [gateway, replies] of ready) {
      for (let from = 0; from < replies.length;) {
        const to = endOfBatch(replies, from);
        publish(gateway, replies.slice(from, to));
        from = to;
      }
    }
  }

  /** At once, and each by itself: a stream's frames stay in order, and whoever resumes it reads no other's. */
  function sendOfStream(gateway: string, reply: Framed<ReplyEnvelope>): void {
    try {
      bus.connection.publish(bus.subjects.stream(gateway, reply.envelope.id), encodeFrames([reply]));
    } catch (error) {
      bus.log.error({ err: error, gateway, call: reply.envelope.id }, "a frame of a stream cannot be sent");
    }
  }

  /** One that cannot be sent (larger than a message may be, the connection closed) must not take others with it. */
  function publish(gateway: string, batch: readonly Framed<ReplyEnvelope>[]): void {
    try {
      bus.connection.publish(bus.subjects.reply(gateway, batch[0]!.envelope.id), encodeFrames(batch));
    } catch (error) {
      const calls = batch.map(({ envelope }) => envelope.id);
      bus.log.error({ err: error, gateway, calls }, "replies cannot be sent");
    }
  }

  return {
    send(gateway, reply) {
      if (reply.envelope.place !== undefined) return sendOfStream(gateway, reply);
      // After the promises that settle now, which are those of one batch of outcomes, and before anything else.
      if (waiting.size === 0) process.nextTick(flush);
      const replies = waiting.get(gateway);
      if (replies) replies.push(reply);
      else waiting.set(gateway, [reply]);
    },
  };
}

function endOfBatch(replies: readonly Framed<ReplyEnvelope>[], from: number): number {
  let bytes = replies[from]!.frame.length;
  let to = from + 1;
  while (to < replies.length && to - from < BATCH_FRAMES_MAX && bytes + replies[to]!.frame.length <= BATCH_BYTES_MAX) {
    bytes += replies[to]!.frame.length;
    to += 1;
  }
  return to;
}

export function subscribeReplies(bus: Bus, gateway: string, onReply: (reply: Framed<ReplyEnvelope>) => void): void {
  const { repliesOf, streamsOf } = bus.subjects;
  for (const subject of [repliesOf(gateway), streamsOf(gateway)]) subscribeFramed(bus, subject, onReply);
}
