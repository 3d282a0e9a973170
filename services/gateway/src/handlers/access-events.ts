import type { EventPublisher } from "@tollgate/bus";
import { type AccessEvent, newCallId } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { type Life, type Log, within } from "@tollgate/service";
import type { FastifyRequest } from "fastify";

const FOLD_MS = 60_000;
/** Queries that are folded at a time; of others each read is an event, and waits for the stream to hold it. */
const FOLDED_MAX = 2_000;
/** Whoever wants data waits this long for the stream to hold that it does. */
const PUBLISH_TIMEOUT_MS = 5_000;
const FLUSH_TIMEOUT_MS = 2_000;
const QUERY_FIELDS_MAX = 30;
const QUERY_CHARS_MAX = 256;
/** They differ from page to page of one search. */
const PAGING: ReadonlySet<string> = new Set(["cursor", "limit"]);

type Action = AccessEvent["action"];
type Access = Omit<AccessEvent, "v" | "kind" | "id" | "endedAt" | "count">;

/** Who reads the record, and what is made of it, is part of the record. */
export interface AccessEvents {
  /**
   * Something was shown. The first time is an event at once; what the same principal reads with the same query within
   * the next minute is one more. To be awaited before it is shown.
   * @param count events or rows
   * @throws {AppError} unavailable: it could neither be written down nor kept, so it may not be shown
   */
  read(this: void, request: FastifyRequest, action: Action, count: number): Promise<void>;
  /**
   * Something is about to be given out as a whole: the stream holds the event, with a count of 0, before this resolves.
   * What it returns takes the number in the end, for a second event.
   * @throws {AppError} unavailable: it could not be written down, so it may not be given out
   */
  begin(this: void, request: FastifyRequest, action: Action): Promise<(count: number) => void>;
}

export function createAccessEvents(options: { events: EventPublisher; life: Life; log: Log }): AccessEvents {
  const { events, life, log } = options;
  /** By the access as JSON: what was read again since its last event. */
  const folded = new Map<string, { count: number; reads: number; timer: NodeJS.Timeout }>();

  function publish(key: string, count: number): Promise<void> {
    const endedAt = Date.now();
    const access = JSON.parse(key) as Access;
    return events.publish({ v: 1, kind: "access", id: newCallId(endedAt), endedAt, count, ...access });
  }

  /** What cannot be written down now is tried again with what comes meanwhile. */
  async function publishOrKeep(key: string, count: number): Promise<void> {
    try {
      await publish(key, count);
    } catch (error) {
      log.warn({ err: error, access: key, count }, "who reads the record is not on the stream yet");
      open(key);
      fold(key, count);
    }
  }

  function open(key: string): void {
    if (!folded.has(key))
      folded.set(key, { count: 0, reads: 0, timer: setTimeout(() => void close(key), FOLD_MS).unref() });
  }

  function fold(key: string, count: number): void {
    const entry = folded.get(key)!;
    entry.count += count;
    entry.reads += 1;
  }

  /** A query that is repeated all the time stays folded. */
  function close(key: string): Promise<void> {
    const { count, reads, timer } = folded.get(key)!;
    clearTimeout(timer);
    folded.delete(key);
    if (reads === 0) return Promise.resolve();
    open(key);
    return publishOrKeep(key, count);
  }

  life.onClose("access events", FLUSH_TIMEOUT_MS, async () => {
    await Promise.all([...folded.keys()].map(close));
    for (const { timer } of folded.values()) clearTimeout(timer);
  });

  /** @throws {AppError} unavailable */
  async function publishNow(key: string, count: number): Promise<void> {
    const late = "not on the stream";
    await within(PUBLISH_TIMEOUT_MS, publish(key, count), late).catch((cause: unknown) => {
      throw new AppError("unavailable", `nobody is given the record while that cannot be recorded: ${late}`, {
        cause,
        retryable: true,
      });
    });
  }

  return {
    async read(request, action, count) {
      const key = keyOf(request, action);
      if (folded.has(key)) return fold(key, count);
      // What cannot be folded cannot be kept either while the stream is away.
      if (folded.size >= FOLDED_MAX) return publishNow(key, count);
      open(key);
      void publishOrKeep(key, count);
    },
    async begin(request, action) {
      const key = keyOf(request, action);
      await publishNow(key, 0);
      return (count) => void publishOrKeep(key, count);
    },
  };
}

function keyOf(request: FastifyRequest, action: Action): string {
  const { principal, address } = request.caller!;
  const { id, tenant } = principal;
  const access: Access = {
    tenant,
    action,
    principal: id,
    ...(address === "" ? {} : { address }),
    query: queryOf(request),
  };
  return JSON.stringify(access);
}

/** As it was asked, with what the path names. */
function queryOf({ url, params }: FastifyRequest): Record<string, string> {
  const named = Object.entries(params as Record<string, string>);
  const given = [...new URL(url, "http://local").searchParams].filter(
    ([name, value]) => value !== "" && !PAGING.has(name),
  );
  const fields = [...named, ...given].slice(0, QUERY_FIELDS_MAX);
  return Object.fromEntries(
    fields.map(([name, value]) => [name.slice(0, QUERY_CHARS_MAX), value.slice(0, QUERY_CHARS_MAX)]),
  );
}
