import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { parseAuditEvent } from "@tollgate/contracts";
import type { DesiredExport } from "@tollgate/desired-state";
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
  const { pool, file, leadership } = options;
  const exportOf = ({ export: id }: Replay) => file.current().exports.find((each) => each.id === id);
  leadership.run("replays", async (leading, begun) => {
    const runs = new Map<string, Run>();
    try {
      while (!leading.aborted) {
        const replays = new Map((await listRunning(pool)).map((each) => [each.id, each]));
        for (const [id, run] of runs) {
          const replay = replays.get(id);
          if (replay !== undefined && isDeepStrictEqual(exportOf(replay), run.wanted)) continue;
          // Cancelled, or its export is another one now; it may have been waiting for a receiver that is away.
          runs.delete(id);
          await run.stop();
        }
        for (const replay of replays.values())
          if (!runs.has(replay.id)) runs.set(replay.id, startRun(options, replay, exportOf(replay), leading));
        begun();
        await delay(LOOK_INTERVAL_MS, undefined, { signal: leading }).catch(() => {});
      }
    } finally {
      await Promise.all([...runs.values()].map((run) => run.stop()));
    }
  });
}

interface Run {
  readonly wanted: DesiredExport | undefined;
  stop(): Promise<void>;
}

function startRun(
  options: ReplayOptions,
  { id, export: exportId }: Replay,
  wanted: DesiredExport | undefined,
  leading: AbortSignal,
): Run {
  const { pool, log } = options;
  const ending = new AbortController();
  const signal = AbortSignal.any([leading, ending.signal]);
  const follow = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        const replay = (await listRunning(pool)).find((each) => each.id === id);
        if (replay === undefined) return;
        const failed = { status: "failed", problem: `there is no export "${exportId}" any more` } as const;
        if (wanted === undefined) await endReplay(pool, id, failed);
        else await send(options, { replay, wanted, signal });
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, replay: id, retryMs: RETRY_MS }, "a replay begins again where it is");
        await delay(RETRY_MS, undefined, { signal }).catch(() => {});
      }
    }
  };
  const done = follow();
  return {
    wanted,
    async stop() {
      ending.abort();
      await done;
    },
  };
}

/** From where the replay is to its end, or until somebody else has ended it. */
async function send(
  { pool, readPool, log }: ReplayOptions,
  { replay, wanted, signal }: { replay: Replay; wanted: DesiredExport; signal: AbortSignal },
): Promise<void> {
  const { id } = replay;
  // A page is a batch: after each that was taken it is known how far the replay is.
  const query = queryOf(replay, Math.min(wanted.batchMax, PAGE_MAX));
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
    for (let from = replay.lastEvent; ;) {
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

function queryOf({ filter }: Replay, pageSize: number): EventQuery {
  return { ...parseFilter(filter), order: "oldest", pageSize };
}

function toExported({ event: line }: { event: string }): Exported {
  const parsed = parseAuditEvent(line);
  if (!parsed.ok) throw new Error(`the record holds what is no event: ${parsed.reason}`);
  return { event: parsed.value, line };
}
