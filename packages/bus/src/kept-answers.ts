import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import { AppError } from "@tollgate/errors";
import type { Bus } from "./connection.ts";

const TTL_MS = 24 * 3_600_000;
/** Of one: under what NATS takes as a message. */
const ANSWER_MAX_BYTES = 768 * 1024;
const LIMITS = {
  maxBytes: 256 * 1024 * 1024,
  /** Nobody, and no tenant, can fill it alone. */
  tenantMaxBytes: 64 * 1024 * 1024,
  principalMaxBytes: 16 * 1024 * 1024,
  /** What others have kept meanwhile is counted after this. */
  countedForMs: 10_000,
};
/** Of each beside its text: its subject, its headers, and what the store adds. */
const BESIDE_BYTES = 300;
const TENANTS_COUNTED_MAX = 1_000;
const RETRY_AFTER_SECONDS = 600;

/** Of characters of base64url. */
export interface AnswerKey {
  readonly tenant: string;
  /** Of that tenant. */
  readonly principal: string;
  readonly id: string;
}

/** One of them, as it is now. */
export interface KeptAnswer {
  readonly text: string;
  /** Unix milliseconds. */
  readonly writtenAt: number;
  readonly revision: number;
}

/**
 * Answers to requests that may come again, for all gateways, for 24 hours after they were written. When as much is kept
 * as may be, in all or of a tenant or principal, no more is taken in before something is forgotten.
 */
export interface KeptAnswers {
  get(key: AnswerKey): Promise<KeptAnswer | undefined>;
  /**
   * Writes what nobody has written otherwise meanwhile.
   * @param before 0: there is nothing yet
   * @returns its revision; undefined where somebody was faster
   * @throws {AppError} overloaded, where there is no room
   */
  write(key: AnswerKey, text: string, before: number): Promise<number | undefined>;
  /** Forgets it, if it is still that one. */
  forget(key: AnswerKey, before: number): Promise<void>;
}

export async function openKeptAnswers(bus: Bus, limits = LIMITS): Promise<KeptAnswers> {
  const config = { ttl: TTL_MS, history: 1, max_bytes: limits.maxBytes, maxValueSize: ANSWER_MAX_BYTES };
  const kv = await new Kvm(bus.js).create(bus.subjects.keptAnswersBucket, config);
  const counts = new Map<string, { readonly untilMs: number; readonly count: Promise<Count> }>();

  function countOf(tenant: string): Promise<Count> {
    const known = counts.get(tenant);
    if (known !== undefined && Date.now() < known.untilMs) return known.count;
    if (counts.size >= TENANTS_COUNTED_MAX) counts.clear();
    const count = countKept(kv, tenant);
    counts.set(tenant, { untilMs: Date.now() + limits.countedForMs, count });
    // The next one counts anew.
    count.catch(() => counts.delete(tenant));
    return count;
  }

  async function takeRoom({ tenant, principal }: AnswerKey): Promise<Count> {
    const count = await countOf(tenant);
    if ((count.principals.get(principal) ?? 0) >= limits.principalMaxBytes) throw full("this principal");
    if (count.total >= limits.tenantMaxBytes) throw full("this tenant");
    return count;
  }

  return {
    async get(key) {
      const entry = await kv.get(nameOf(key));
      if (entry?.operation !== "PUT") return undefined;
      return { text: entry.string(), writtenAt: entry.created.getTime(), revision: entry.revision };
    },
    async write(key, text, before) {
      // What is there already is not left without its answer.
      const count = await (before === 0 ? takeRoom(key) : countOf(key.tenant));
      try {
        const name = nameOf(key);
        const revision = before === 0 ? await kv.create(name, text) : await kv.update(name, text, before);
        add(count, key.principal, text.length);
        return revision;
      } catch (error) {
        if (isConflict(error)) return undefined;
        throw isFull(error) ? full("all") : error;
      }
    },
    async forget(key, before) {
      try {
        await kv.purge(nameOf(key), { previousSeq: before });
      } catch (error) {
        if (!isConflict(error)) throw error;
      }
    },
  };
}

/** Bytes that a tenant has kept: counted once, and added to by what is written here since. */
interface Count {
  total: number;
  readonly principals: Map<string, number>;
}

async function countKept(kv: KV, tenant: string): Promise<Count> {
  const count: Count = { total: 0, principals: new Map() };
  // As for watches: without the texts.
  const asked = { key: `${tenant}.>`, headers_only: true };
  for await (const { key, length } of await kv.history(asked)) add(count, key.split(".")[1]!, length);
  return count;
}

function add(count: Count, principal: string, length: number): void {
  const bytes = BESIDE_BYTES + length;
  count.total += bytes;
  count.principals.set(principal, (count.principals.get(principal) ?? 0) + bytes);
}

function nameOf({ tenant, principal, id }: AnswerKey): string {
  return `${tenant}.${principal}.${id}`;
}

function full(whose: string): AppError {
  const reason = `as many answers of ${whose} are kept as may be; each is forgotten after 24 hours`;
  return new AppError("overloaded", reason, { details: { retryAfterSeconds: RETRY_AFTER_SECONDS } });
}

function isConflict(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamWrongLastSequence;
}

function isFull(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.message.includes("maximum bytes exceeded");
}
