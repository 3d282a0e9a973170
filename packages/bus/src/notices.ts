import type { AnswerEnvelope, Interest, ResourceUpdate } from "@tollgate/contracts";
import type { Bus } from "./connection.ts";
import { decodeFrames, encodeFrames, type Framed } from "./framing.ts";

/**
 * Core NATS between gateways and runners, for what may be lost without harm: each is renewed, asked again, or only
 * saves work. Nothing that a sender of ours did not write ends a subscription.
 */
export function subscribeFramed<E extends object>(
  bus: Bus,
  subject: string,
  onFramed: (framed: Framed<E>) => void,
): () => void {
  const subscription = bus.connection.subscribe(subject, {
    callback: (error, message) => {
      if (error) return bus.log.error({ err: error, subject }, "messages cannot be received");
      try {
        for (const framed of decodeFrames<E>(message.string())) onFramed(framed);
      } catch (failure) {
        bus.log.error({ err: failure, subject: message.subject }, "a message that no sender of ours wrote");
      }
    },
  });
  return () => subscription.unsubscribe();
}

function publishFramed(bus: Bus, subject: string, framed: Framed<object>): void {
  bus.connection.publish(subject, encodeFrames([framed]));
}

const NO_FRAME = "{}";

/** A client's answer to a question, for the runner that asked. */
export function publishAnswer(bus: Bus, runner: string, answer: Framed<AnswerEnvelope>): void {
  publishFramed(bus, bus.subjects.answers(runner), answer);
}
export function subscribeAnswers(bus: Bus, runner: string, onAnswer: (answer: Framed<AnswerEnvelope>) => void): void {
  subscribeFramed(bus, bus.subjects.answers(runner), onAnswer);
}

/** A legacy client does not want a request's answer any more; the gateway that took it may be another one. */
export interface Abandoned {
  readonly session: string;
  readonly requestId: string | number;
}
export function publishAbandoned(bus: Bus, abandoned: Abandoned): void {
  publishFramed(bus, bus.subjects.abandoned, { envelope: abandoned, frame: NO_FRAME });
}
export function subscribeAbandoned(bus: Bus, onAbandoned: (abandoned: Abandoned) => void): void {
  subscribeFramed<Abandoned>(bus, bus.subjects.abandoned, ({ envelope }) => onAbandoned(envelope));
}

/** What clients want to hear of; to every runner of the group, again and again as long as they do. */
export function publishInterest(bus: Bus, group: string, interest: Interest): void {
  publishFramed(bus, bus.subjects.interests(group), { envelope: interest, frame: NO_FRAME });
}
export function subscribeInterests(bus: Bus, group: string, onInterest: (interest: Interest) => void): void {
  subscribeFramed<Interest>(bus, bus.subjects.interests(group), ({ envelope }) => onInterest(envelope));
}

/** A server's word that a resource has changed, as the server wrote it. */
export function publishUpdate(bus: Bus, update: Framed<ResourceUpdate>): void {
  publishFramed(bus, bus.subjects.updates, update);
}
export function subscribeUpdates(bus: Bus, onUpdate: (update: Framed<ResourceUpdate>) => void): void {
  subscribeFramed(bus, bus.subjects.updates, onUpdate);
}

/** Somebody has decided on an approval: whoever waits for it looks anew. */
export interface DecidedApproval {
  readonly approval: string;
}
export function publishDecided(bus: Bus, decided: DecidedApproval): void {
  publishFramed(bus, bus.subjects.approvals, { envelope: decided, frame: NO_FRAME });
}
export function subscribeDecided(bus: Bus, onDecided: (decided: DecidedApproval) => void): void {
  subscribeFramed<DecidedApproval>(bus, bus.subjects.approvals, ({ envelope }) => onDecided(envelope));
}

/** There is a new revision of the catalogue in the database. */
export function publishCatalogueRevision(bus: Bus, revision: bigint): void {
  publishFramed(bus, bus.subjects.catalogue, { envelope: { revision: String(revision) }, frame: NO_FRAME });
}
export function subscribeCatalogueRevisions(bus: Bus, onRevision: (revision: bigint) => void): void {
  subscribeFramed<{ revision: string }>(bus, bus.subjects.catalogue, ({ envelope }) =>
    onRevision(BigInt(envelope.revision)),
  );
}
