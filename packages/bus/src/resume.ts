import { DeliverPolicy } from "@nats-io/jetstream";
import type { ReplyEnvelope } from "@tollgate/contracts";
import type { Bus } from "./connection.ts";
import { decodeFrames, encodeFrames, type Framed } from "./framing.ts";
import { publishAcknowledged } from "./publish.ts";

const SESSION_PUBLISH_TIMEOUT_MS = 10_000;

/** Reads from REPLIES until `stop`, what is there and then what comes. Sequence numbers are the stream's own. */
interface Follower {
  stop(): Promise<void>;
}

async function follow(
  bus: Bus,
  options: { subject: string; after: number | undefined; onMessage: (text: string, sequence: number) => void },
): Promise<Follower> {
  const { subject, after, onMessage } = options;
  const stream = bus.subjects.streams.replies;
  const consumer = await bus.js.consumers.get(stream, { filter_subjects: subject, ...(await startingAt(bus, after)) });
  const messages = await consumer.consume({
    callback: (message) => {
      try {
        onMessage(message.string(), message.seq);
      } catch (error) {
        // Thrown on, it would end the consumer, without a word.
        bus.log.error({ err: error, subject: message.subject }, "a message that no sender of ours wrote");
      }
    },
  });
  return {
    async stop() {
      await messages.close();
      // It would be there for minutes.
      await consumer.delete().catch(() => undefined);
    },
  };
}

async function startingAt(bus: Bus, after: number | undefined) {
  const fromNow = { deliver_policy: DeliverPolicy.New } as const;
  if (after === undefined) return fromNow;
  if (after > 0) {
    // A place of a stream that was lost and made anew: the server would wait until it is reached once more.
    const { state } = await bus.jsm.streams.info(bus.subjects.streams.replies);
    if (after > state.last_seq) return fromNow;
  }
  return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: after + 1 } as const;
}

/** All frames of one call's stream, from its first on. For whoever resumes it; `place` says where the client was. */
export function followStream(
  bus: Bus,
  callId: string,
  onReply: (reply: Framed<ReplyEnvelope>) => void,
): Promise<Follower> {
  return follow(bus, {
    subject: bus.subjects.streamOfCall(callId),
    after: 0,
    onMessage: (text) => decodeFrames<ReplyEnvelope>(text).forEach(onReply),
  });
}

/** Says something to a session outside of any call: whichever gateway has its stream passes it on. */
export function publishToSession(bus: Bus, session: string, id: string, frame: string): Promise<void> {
  return publishAcknowledged(bus, {
    subject: bus.subjects.session(session),
    payload: encodeFrames([{ envelope: {}, frame }]),
    id,
    untilMs: Date.now() + SESSION_PUBLISH_TIMEOUT_MS,
  });
}

/** What is said to a session, after the place `after` or from now on. */
export function followSession(
  bus: Bus,
  options: { session: string; after: number | undefined; onFrame: (frame: string, place: number) => void },
): Promise<Follower> {
  const { session, after, onFrame } = options;
  return follow(bus, {
    subject: bus.subjects.session(session),
    after,
    onMessage: (text, place) => {
      for (const { frame } of decodeFrames(text)) onFrame(frame, place);
    },
  });
}
