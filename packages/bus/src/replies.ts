import type { ReplyEnvelope } from "@tollgate/contracts";
import type { Bus } from "./connection.ts";
import { decodeFrames, encodeFrames, type Framed } from "./framing.ts";

const BATCH_FRAMES_MAX = 256;
const BATCH_BYTES_MAX = 512 * 1024;

export interface ReplySender {
  /** Sends with whatever else is ready for the same gateway in this tick. At most once: the outcome is on AUDIT. */
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
  bus.connection.subscribe(bus.subjects.repliesOf(gateway), {
    callback: (error, message) => {
      if (error) return bus.log.error({ err: error }, "replies cannot be received");
      try {
        for (const reply of decodeFrames<ReplyEnvelope>(message.string())) onReply(reply);
      } catch (failure) {
        bus.log.error({ err: failure, subject: message.subject }, "a reply that no runner of ours wrote");
      }
    },
  });
}
