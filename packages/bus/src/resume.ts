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
  const from =
    after === undefined
      ? { deliver_policy: DeliverPolicy.New }
      : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: after + 1 };
  const consumer = await bus.js.consumers.get(bus.subjects.streams.replies, { filter_subjects: subject, ...from });
  const messages = await consumer.consume({ callback: (message) => onMessage(message.string(), message.seq) });
  return {
    async stop() {
      await messages.close();
      // It would be there for minutes.
      await consumer.delete().catch(() => undefined);
    },
  };
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
