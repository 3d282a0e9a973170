export { adoptCalls } from "./adoption.ts";
export { type Batcher, createBatcher } from "./batcher.ts";
export {
  type CallConsumer,
  type CallPublisher,
  consumeBoundCalls,
  consumeCalls,
  createCallPublisher,
  type Delivery,
  EXTEND_INTERVAL_MS,
  publishCancel,
  SILENCE_MAX_MS,
  subscribeCancels,
} from "./calls.ts";
export { type Bus, type BusLog, connectBus } from "./connection.ts";
export { dropDeadLetter, getDeadLetter, type KeptDeadLetter, listDeadLetters, putBack } from "./dead-letters.ts";
export { type DurableBatch, type DurableBeginning, durableLags, forgetDurable, readDurably } from "./durable-reader.ts";
export { createEventPublisher, type EventPublisher, findOutcomes } from "./events.ts";
export { decodeFrames, encodeFrames, type Framed, singleLine } from "./framing.ts";
export { answerHealth, requestHealth } from "./health.ts";
export { type AnswerKey, type KeptAnswer, type KeptAnswers, openKeptAnswers } from "./kept-answers.ts";
export {
  type Abandoned,
  publishAbandoned,
  publishAnswer,
  publishCatalogueRevision,
  publishDecided,
  publishInterest,
  publishUpdate,
  subscribeAbandoned,
  subscribeAnswers,
  subscribeCatalogueRevisions,
  subscribeDecided,
  subscribeInterests,
  subscribeUpdates,
} from "./notices.ts";
export { answerParts, type PartStatus, requestParts, type StreamState, streamStates } from "./parts.ts";
export { readPastEvents } from "./past-events.ts";
export {
  endOfEvents,
  putLineAside,
  type ReadBatch,
  readEvents,
  type StreamedEvent,
  type StreamPosition,
} from "./read-events.ts";
export { createReplySender, type ReplySender, subscribeReplies } from "./replies.ts";
export { followSession, followStream, publishToSession } from "./resume.ts";
export { openSessions, type SessionPage, type SessionStore } from "./sessions.ts";
export { type Subjects, subjectsFor } from "./subjects.ts";
export { MESSAGE_MAX_BYTES } from "./streams.ts";
