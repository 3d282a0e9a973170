import { setTimeout as delay } from "node:timers/promises";
import { parseAuditEvent } from "@tollgate/contracts";
import type { Leadership, Log, Pool } from "@tollgate/service";
import type { Exported } from "../domain/exported.ts";
import { type EventQuery, parseFilter } from "../domain/query.ts";
import { addReplayed, endReplay, listRunning, type Replay, writeReplayProblem, writeTotal } from "../store/replays.ts";
import { countEvents } from "../store/search.ts";
import type { AuditFile } from "./desired-file.ts";
import { search } from "./searches.ts";
import { createSender } from "./sender.ts";

const LOOK_INTERVAL_MS = 1_000;
const RETRY_MS = 2_000;
const PAGE_MAX = 1_000;

export interface ReplayOptions {
  readonly pool: Pool;
  /** For searches. */
  readonly readPool: Pool;
  readonly leadership: Leadership;
  readonly file: AuditFile;
  readonly log: Log;
}

/**
 * Sends recorded events to an export's receiver once more, oldest first, while its own events go their own way. How far
 * it is, is in the database after each batch that was taken: whoever leads next goes on there.
 */
export function keepReplays(options: ReplayOptions): void {
  const { pool, leadership } = options;
  leadership.run("replays", async (leading, begun) => {
    const running = new Map<string, { stop(): Promise<void> }>();
    try {
      while (!leading.aborted) {
        const wanted = await listRunning(pool);
        // A cancelled one may wait for a receiver that is away.
        const ids = new Set(wanted.map(({ id }) => id));
        for (const [id, each] of running) {
          if (ids.has(id)) continue;
          running.delete(id);
          await each.stop();
        }
        for (const replay of wanted)
          if (!running.has(replay.id)) running.set(replay.id, start(options, replay, leading));
        begun();
        await delay(LOOK_INTERVAL_MS, undefined, { signal: leading }).catch(() => {});
      }
    } finally {
      await Promise.all([...running.values()].map((each) => each.stop()));
    }
  });
}

function start(options: ReplayOptions, replay: Replay, leading: AbortSignal): { stop(): Promise<void> } {
  const ending = new AbortController();
  const done = follow(options, replay, AbortSignal.any([leading, ending.signal]));
  return {
    async stop() {
      ending.abort();
      await done;
    },
  };
}

/** Until it has ended, or `signal` aborts. */
async function follow(options: ReplayOptions, { id }: Replay, signal: AbortSignal): Promise<void> {
  const { pool, log } = options;
  while (!signal.aborted) {
    try {
      const replay = (await listRunning(pool)).find((each) => each.id === id);
      if (replay === undefined) return;
      await run(options, replay, signal);
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ err: error, replay: id, retryMs: RETRY_MS }, "a replay begins again where it is");
      await delay(RETRY_MS, undefined, { signal }).catch(() => {});
    }
  }
}

async function run(options: ReplayOptions, replay: Replay, signal: AbortSignal): Promise<void> {
  const { pool, readPool, file, log } = options;
  const { id } = replay;
  const wanted = file.current().exports.find((each) => each.id === replay.export);
  if (wanted === undefined) {
    const problem = `there is no export "${replay.export}" any more`;
    await endReplay(pool, id, { status: "failed", problem });
    return;
  }
  const query = queryOf(replay);
  if (replay.total === undefined) {
    const total = await countEvents(readPool, query);
    if (total !== undefined) await writeTotal(pool, id, total);
  }
  const sender = createSender(wanted, log, (problem) => {
    writeReplayProblem(pool, id, problem).catch((error: unknown) => {
      log.warn({ err: error, replay: id }, "what is wrong with a replay could not be written down");
    });
  });
  try {
    let from = replay.lastEvent;
    for (;;) {
      const page = await search(readPool, { ...query, ...(from === undefined ? {} : { after: from }) });
      const { sent } = await sender.send(page.events.map(toExported), signal);
      const lastEvent = page.next ?? page.events.at(-1)?.id;
      if (lastEvent !== undefined && !(await addReplayed(pool, id, { sent, from, lastEvent }))) return;
      if (page.next === undefined) break;
      from = page.next;
    }
    await endReplay(pool, id, { status: "done", problem: "" });
  } finally {
    sender.close();
  }
}

function queryOf({ filter }: Replay): EventQuery {
  return { ...parseFilter(filter), order: "oldest", pageSize: PAGE_MAX };
}

function toExported({ event: line }: { event: string }): Exported {
  const parsed = parseAuditEvent(line);
  if (!parsed.ok) throw new Error(`the record holds what is no event: ${parsed.reason}`);
  return { event: parsed.value, line };
}
