export { type Batcher, createBatcher } from "./batcher.ts";
export {
  type CallConsumer,
  type CallPublisher,
  consumeCalls,
  createCallPublisher,
  type Delivery,
  EXTEND_INTERVAL_MS,
  publishCancel,
  SILENCE_MAX_MS,
  subscribeCancels,
} from "./calls.ts";
export { type Bus, type BusLog, connectBus } from "./connection.ts";
export { consumeEvents, type EventConsumer, readLag, type StreamedEvent } from "./event-consumer.ts";
export { createEventPublisher, type EventPublisher, findOutcomes } from "./events.ts";
export { decodeFrames, encodeFrames, type Framed, singleLine } from "./framing.ts";
export { createReplySender, type ReplySender, subscribeReplies } from "./replies.ts";
export { openSessions, type SessionStore } from "./sessions.ts";
export { type Lane, LANES, type Subjects, subjectsFor } from "./subjects.ts";
export { MESSAGE_MAX_BYTES } from "./streams.ts";
