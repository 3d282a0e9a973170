import { setTimeout as delay } from "node:timers/promises";
import type { EventPublisher } from "@tollgate/bus";
import { type AlertEvent, type auditV1, changeEvent, INSTALLATION_TENANT, newCallId } from "@tollgate/contracts";
import { retentionDays } from "@tollgate/desired-state";
import { signCut } from "@tollgate/evidence";
import {
  dropOldPartitions,
  enqueueEvents,
  type Leadership,
  type Log,
  type Metrics,
  type Pool,
  unary,
  withTransaction,
} from "@tollgate/service";
import type { ClientBase } from "pg";
import { holdOf, keptFromMs, type Segment, segmentsToCut } from "../domain/retention.ts";
import { compressOldChunks } from "../store/compression.ts";
import { activeHolds, lockHolds } from "../store/holds.ts";
import { deleteSegment, moveFirstNumber, oldestSegments, replaceCut, segmentsOf } from "../store/retention.ts";
import type { AuditFile } from "./desired-file.ts";
import { type ProvenSegment, proveSegment } from "./prove-segment.ts";
import type { Signing } from "./signing.ts";

/** Segments that are announced together: at most 4,096 events each. */
const SEGMENTS_MAX = 100;
/** An event's id is at most a week off: nothing is added to partitions that are older than this. */
const PARTITION_AGE_MS = 31 * 86_400_000;
const ACTOR = "service:audit";

export interface RetentionOptions {
  readonly pool: Pool;
  readonly leadership: Leadership;
  readonly events: EventPublisher;
  readonly signing: Signing;
  readonly file: AuditFile;
  readonly intervalMs: number;
  readonly metrics: Metrics;
  readonly log: Log;
}

/**
 * Lets go of events that are older than their tenant's and kind's retention, oldest first, by whole segments under a
 * checkpoint. What goes leaves a trace that cannot be made by hand: a change event that is on the stream before the
 * first row goes, and a signed cut, which verification begins at. Events under a hold stay, and all behind them.
 */
export function keepRetention(options: RetentionOptions): void {
  const { pool, leadership, file, intervalMs, metrics, log } = options;
  const gone = metrics.counter("tollgate_audit_events_let_go_total", "Events let go of by retention");
  leadership.run("retention", async (signal, begun) => {
    if (!(await compressOldChunks(pool))) log.debug({}, "old events are not compressed by chunks: this server cannot");
    // Only after a cut, and once at the beginning: a partition that was made a moment ago is empty as well.
    let isSomethingEmpty = true;
    const refused = new Map<string, string>();
    while (!signal.aborted) {
      const nowMs = Date.now();
      for (const oldest of await oldestSegments(pool, "")) {
        const keptFrom = keptFromMs(retentionDays(file.current().retention, oldest), nowMs);
        while (!signal.aborted) {
          const cut = await cutChain(options, oldest, keptFrom, refused);
          gone.inc(cut.events);
          isSomethingEmpty ||= cut.events > 0;
          if (!cut.more) break;
        }
      }
      const beforeMs = nowMs - PARTITION_AGE_MS;
      if (isSomethingEmpty)
        await dropOldPartitions({ pool, schema: "audit", table: "events", beforeMs, onlyEmpty: true, log });
      isSomethingEmpty = false;
      begun();
      await delay(intervalMs, undefined, { signal }).catch(() => {});
    }
  });
}

async function cutChain(
  options: RetentionOptions,
  chain: Pick<Segment, "tenant" | "kind">,
  keptFrom: number,
  refused: Map<string, string>,
): Promise<{ events: number; more: boolean }> {
  const { pool, events, log } = options;
  const holds = await activeHolds(pool);
  const candidates = segmentsToCut(await segmentsOf(pool, chain, SEGMENTS_MAX), keptFrom, holds);
  if (candidates.length === 0) return { events: 0, more: false };
  const segments = segmentsToCut(await proven(options, candidates, refused), keptFrom, holds);
  if (segments.length === 0) return { events: 0, more: false };
  const change = announcement(segments, keptFrom);
  await events.publish(change);
  let count = 0;
  for (const segment of segments) {
    const deleted = await withTransaction(pool, (client) => cutSegment(client, segment, options));
    if (deleted === undefined) return { events: count, more: false };
    count += deleted;
  }
  log.info({ change: change.id, chain: change.name, events: count }, "let go of events whose time is over");
  return { events: count, more: segments.length === SEGMENTS_MAX };
}

/** Up to the first that does not prove itself: that, and all behind it, is kept, and an alert says so once. */
async function proven(
  { pool, signing, log }: RetentionOptions,
  candidates: readonly Segment[],
  refused: Map<string, string>,
): Promise<ProvenSegment[]> {
  const keys = await signing.trusted(pool);
  const segments: ProvenSegment[] = [];
  for (const candidate of candidates) {
    const segment = await proveSegment(pool, keys, candidate);
    if (typeof segment !== "string") {
      segments.push(segment);
      continue;
    }
    const { tenant, kind } = candidate;
    const reason = `nothing more is let go of in ${tenant}/${kind}: ${segment}`;
    if (refused.get(`${tenant}/${kind}`) === reason) break;
    log.error({ tenant, kind, problem: segment }, "cannot be let go of");
    await enqueueEvents(pool, "audit", [alertOf("broken_chain", reason)]);
    refused.set(`${tenant}/${kind}`, reason);
    break;
  }
  return segments;
}

function announcement(segments: readonly ProvenSegment[], keptFrom: number): ReturnType<typeof changeEvent> {
  const [first, last] = [segments[0]!, segments.at(-1)!];
  const { tenant, kind } = first;
  const day = new Date(keptFrom).toISOString().slice(0, 10);
  return changeEvent(
    {
      tenant,
      change: "deleted",
      resource: "retention",
      name: `${tenant}/${kind}`,
      principal: ACTOR,
      before: { firstNumber: first.from + 1, ...timeOf(first) },
      after: { firstNumber: last.to + 1, keptFrom: day },
      reason: `events ${first.from + 1} to ${last.to} are let go of: their time is over`,
    },
    Date.now(),
  );
}

function timeOf({ firstTimeMs }: Segment): { firstTime?: string } {
  return Number.isFinite(firstTimeMs) ? { firstTime: new Date(firstTimeMs).toISOString() } : {};
}

/** Undefined: another replica did it, or a hold has come meanwhile. */
async function cutSegment(
  client: ClientBase,
  segment: ProvenSegment,
  { signing, log }: RetentionOptions,
): Promise<number | undefined> {
  await lockHolds(client);
  if (holdOf(segment, await activeHolds(client)) !== undefined) return undefined;
  const { tenant, kind, from, to, hash } = segment;
  if (!(await moveFirstNumber(client, segment))) return undefined;
  await replaceCut(client, signCut({ tenant, kind, number: to, hash, at: Date.now() }, await signing.key(client)));
  const deleted = await deleteSegment(client, segment);
  const missing = to - from - deleted;
  if (missing > 0) {
    // They would have gone now; that they were gone before is not to be hidden by it.
    const reason = `${missing} of the events ${from + 1} to ${to} of ${tenant}/${kind} were gone before retention let go of them`;
    log.error({ tenant, kind, from, to, missing }, reason);
    await enqueueEvents(client, "audit", [alertOf("missing_events", reason)]);
  }
  return deleted;
}

function alertOf(code: AlertEvent["code"], reason: string): AlertEvent {
  const now = Date.now();
  return { v: 1, kind: "alert", id: newCallId(now), tenant: INSTALLATION_TENANT, endedAt: now, code, reason };
}

export function createRetentionHandlers(options: {
  readPool: Pool;
  file: AuditFile;
  log: Log;
}): Pick<auditV1.AuditServiceServer, "listRetention"> {
  const { readPool, file, log } = options;
  return {
    listRetention: unary(log, async (request: auditV1.ListRetentionRequest): Promise<auditV1.ListRetentionResponse> => {
      const [segments, holds] = await Promise.all([oldestSegments(readPool, request.tenant), activeHolds(readPool)]);
      const nowMs = Date.now();
      const retention = segments.map((segment) => {
        const { tenant, kind, firstTimeMs, lastTimeMs } = segment;
        const days = retentionDays(file.current().retention, segment);
        const heldBy = lastTimeMs < keptFromMs(days, nowMs) ? (holdOf(segment, holds)?.id ?? "") : "";
        return { tenant, kind, days, oldestKeptMs: BigInt(firstTimeMs), heldBy };
      });
      return { retention };
    }),
  };
}
