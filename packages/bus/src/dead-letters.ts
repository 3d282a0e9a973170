import type { NextMsgRequest, StoredMsg } from "@nats-io/jetstream";
import { AppError } from "@tollgate/errors";
import type { Bus } from "./connection.ts";
import { publishAcknowledged } from "./publish.ts";
import { MESSAGE_MAX_BYTES } from "./streams.ts";

/** How much of a bad text is put aside. In JSON a character takes up to six bytes: more might never fit, and for ever be tried again. */
const DATA_MAX_CHARS = MESSAGE_MAX_BYTES / 8;
const REASON_MAX_CHARS = 500;
const PUBLISH_TIMEOUT_MS = 5_000;
/** What stands for bytes that are no text. */
const NO_CHARACTER = "\uFFFD";

/** What could not be processed. */
export interface DeadLetter {
  /** Where it was published: where it would be put back. */
  readonly subject: string;
  readonly reason: string;
  readonly data: string;
  /** `data` is not what was published, since that was too long, or no text: it cannot be put back. */
  readonly truncated: boolean;
  /** Unix milliseconds. */
  readonly at: number;
}

/** As it is on the stream DEAD. */
export interface KeptDeadLetter extends DeadLetter {
  /** Its sequence on the stream. */
  readonly id: number;
  /** Who could not process it. */
  readonly service: string;
}

/**
 * Keeps what cannot be processed where a person finds it; the stream takes it once, however often this is tried.
 * @throws {AppError} as `publishAcknowledged`
 */
export async function putAside(
  bus: Bus,
  letter: { service: string; subject: string; reason: string; text: string; id: string; untilMs: number },
): Promise<void> {
  const { service, subject, reason, text, id, untilMs } = letter;
  const dead: DeadLetter = {
    subject,
    reason: reason.slice(0, REASON_MAX_CHARS),
    data: text.slice(0, DATA_MAX_CHARS),
    truncated: text.length > DATA_MAX_CHARS || text.includes(NO_CHARACTER),
    at: Date.now(),
  };
  await publishAcknowledged(bus, { subject: bus.subjects.dead(service), payload: JSON.stringify(dead), id, untilMs });
}

/** The oldest first, from the id `from` on; `next` is where the next page begins, absent when there is none. */
export async function listDeadLetters(
  bus: Bus,
  { service, from, limit }: { service?: string | undefined; from: number; limit: number },
): Promise<{ items: KeptDeadLetter[]; next?: number }> {
  const { subjects, jsm } = bus;
  const filter = service === undefined ? subjects.allDead : subjects.dead(service);
  const items: KeptDeadLetter[] = [];
  for (let seq = Math.max(1, from); ; seq = items.at(-1)!.id + 1) {
    const query: NextMsgRequest & { seq: number } = { seq, next_by_subj: filter };
    const message = await jsm.streams.getMessage(subjects.streams.dead, query);
    if (message === null) return { items };
    // One more than asked for tells whether there is another page.
    if (items.length === limit) return { items, next: message.seq };
    items.push(toLetter(message));
  }
}

export async function getDeadLetter(bus: Bus, id: number): Promise<KeptDeadLetter | undefined> {
  const message = await bus.jsm.streams.getMessage(bus.subjects.streams.dead, { seq: id });
  return message === null ? undefined : toLetter(message);
}

/** Anything that is on DEAD; what was not written as it is now can be looked at. */
function toLetter(message: StoredMsg): KeptDeadLetter {
  const kept = { id: message.seq, service: message.subject.slice(message.subject.lastIndexOf(".") + 1) };
  const text = message.string();
  const unreadable = { subject: "", reason: "not written by this version", data: text, truncated: true };
  let letter: Partial<DeadLetter> | null;
  try {
    letter = JSON.parse(text) as Partial<DeadLetter> | null;
  } catch {
    letter = null;
  }
  const { subject, reason, data, truncated, at } = letter ?? {};
  if (
    typeof subject !== "string" ||
    typeof reason !== "string" ||
    typeof data !== "string" ||
    typeof truncated !== "boolean" ||
    typeof at !== "number"
  )
    return { ...kept, ...unreadable, at: message.time.getTime() };
  return { ...kept, subject, reason, data, truncated, at };
}

/**
 * Publishes it where it was published first, and removes it from DEAD once the stream has it. Twice is once.
 * `beforehand` is done once it is known that it can be.
 * @throws {AppError} `failed_precondition` when it cannot be put back, and why; else as `publishAcknowledged`
 */
export async function putBack(
  bus: Bus,
  { id, subject, data, truncated }: KeptDeadLetter,
  beforehand: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  if (truncated)
    throw new AppError(
      "failed_precondition",
      `dead letter ${id} cannot be put back: its data is not all that there was`,
    );
  if (!bus.subjects.takesBack(subject))
    throw new AppError(
      "failed_precondition",
      `dead letter ${id} cannot be put back: its subject is not of calls or events`,
    );
  await beforehand();
  const untilMs = Date.now() + PUBLISH_TIMEOUT_MS;
  await publishAcknowledged(bus, { subject, payload: data, id: `put-back-${id}`, untilMs });
  await dropDeadLetter(bus, id);
}

/** False when there is none of this id. */
export async function dropDeadLetter(bus: Bus, id: number): Promise<boolean> {
  const { dead } = bus.subjects.streams;
  try {
    return await bus.jsm.streams.deleteMessage(dead, id);
  } catch (error) {
    if ((await bus.jsm.streams.getMessage(dead, { seq: id })) === null) return false;
    throw error;
  }
}
