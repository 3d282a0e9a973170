import { errors, type Msg } from "@nats-io/transport-node";
import type { Bus } from "./connection.ts";

/** What one process of the installation says of itself. */
export interface PartStatus {
  /** `gateway`, `policy`, …: replicas have the same. */
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  /** Of Tollgate. */
  readonly version: string;
  readonly node: string;
  readonly startedAt: string;
  readonly ready: boolean;
  /** Why it is not, by check. */
  readonly reasons: Readonly<Record<string, string>>;
  /** The newest migration of its database; absent where it has none. */
  readonly migration?: string;
  /** How many messages of the stream it has not stored; absent where it stores none. */
  readonly behind?: number;
}

const PARTS_MAX = 1_000;

/**
 * What the processes say that answer in time, at most 1,000. Nobody knows how many there are, so it takes all of the
 * time. Core NATS: whoever is busy for longer is left out, as is what cannot be read.
 */
export async function requestParts(bus: Bus, { waitMs }: { waitMs: number }): Promise<PartStatus[]> {
  const { subjects, connection } = bus;
  const found: PartStatus[] = [];
  try {
    for await (const message of await connection.requestMany(subjects.parts, "", { maxWait: waitMs })) {
      const status = statusIn(message, bus);
      if (status !== undefined) found.push(status);
      if (found.length === PARTS_MAX) break;
    }
  } catch (error) {
    if (!(error instanceof errors.NoRespondersError)) throw error;
  }
  return found;
}

function statusIn(message: Msg, { log, subjects }: Bus): PartStatus | undefined {
  try {
    return message.json<PartStatus>();
  } catch (error) {
    log.warn({ err: error, subject: subjects.parts }, "what a part says cannot be read");
    return undefined;
  }
}

export function answerParts(bus: Bus, statusOf: () => Promise<PartStatus>): void {
  const subject = bus.subjects.parts;
  const answer = async (message: Msg): Promise<void> => {
    try {
      message.respond(JSON.stringify(await statusOf()));
    } catch (failure) {
      bus.log.error({ err: failure, subject }, "this part cannot tell how it is");
    }
  };
  bus.connection.subscribe(subject, {
    callback: (error, message) => {
      if (error) bus.log.error({ err: error, subject }, "messages cannot be received");
      else void answer(message);
    },
  });
}

/** How full a stream is. */
export interface StreamState {
  readonly name: string;
  readonly messages: number;
  readonly bytes: number;
  readonly maxBytes: number;
  /** Of its oldest message; absent where it is empty. */
  readonly oldestAt?: string;
}

/** Of the installation's streams. @throws where NATS is away */
export async function streamStates(bus: Bus): Promise<StreamState[]> {
  const { calls, audit, replies, dead } = bus.subjects.streams;
  const names = { CALLS: calls, AUDIT: audit, REPLIES: replies, DEAD: dead };
  return Promise.all(
    Object.entries(names).map(async ([name, stream]) => {
      const { state, config } = await bus.jsm.streams.info(stream);
      const { messages, bytes, first_ts: oldestAt } = state;
      return { name, messages, bytes, maxBytes: config.max_bytes, ...(messages === 0 ? {} : { oldestAt }) };
    }),
  );
}
