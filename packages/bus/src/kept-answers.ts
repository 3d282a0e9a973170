import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import type { Bus } from "./connection.ts";

const TTL_MS = 24 * 3_600_000;
const BUCKET_MAX_BYTES = 256 * 1024 * 1024;
/** Of one: under what NATS takes as a message. */
const ANSWER_MAX_BYTES = 768 * 1024;

/** One of them, as it is now. */
export interface KeptAnswer {
  readonly text: string;
  /** Unix milliseconds. */
  readonly writtenAt: number;
  readonly revision: number;
}

/**
 * Answers to requests that may come again, for all gateways, for 24 hours after they were written. Keys are of
 * characters of base64url. When as much is kept as may be, no more is taken in before something is forgotten.
 */
export interface KeptAnswers {
  get(key: string): Promise<KeptAnswer | undefined>;
  /**
   * Writes what nobody has written otherwise meanwhile.
   * @param before 0: there is nothing yet
   * @returns its revision; undefined where somebody was faster
   */
  write(key: string, text: string, before: number): Promise<number | undefined>;
  /** Forgets it, if it is still that one. */
  forget(key: string, before: number): Promise<void>;
}

export async function openKeptAnswers(bus: Bus): Promise<KeptAnswers> {
  const limits = { ttl: TTL_MS, history: 1, max_bytes: BUCKET_MAX_BYTES, maxValueSize: ANSWER_MAX_BYTES };
  const kv = await new Kvm(bus.js).create(bus.subjects.keptAnswersBucket, limits);
  return {
    async get(key) {
      const entry = await kv.get(key);
      if (entry?.operation !== "PUT") return undefined;
      return { text: entry.string(), writtenAt: entry.created.getTime(), revision: entry.revision };
    },
    async write(key, text, before) {
      try {
        return before === 0 ? await kv.create(key, text) : await kv.update(key, text, before);
      } catch (error) {
        if (isConflict(error)) return undefined;
        throw error;
      }
    },
    async forget(key, before) {
      try {
        await kv.purge(key, { previousSeq: before });
      } catch (error) {
        if (!isConflict(error)) throw error;
      }
    },
  };
}

function isConflict(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamWrongLastSequence;
}
