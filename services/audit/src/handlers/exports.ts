import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { type Bus, durableLags, forgetDurable, readDurably } from "@tollgate/bus";
import { changeEvent } from "@tollgate/contracts";
import type { DesiredExport } from "@tollgate/desired-state";
import { enqueueEvents, type Leadership, type Log, type Metrics, type Pool, withTransaction } from "@tollgate/service";
import { changesOf, definitionOf } from "../domain/exports.ts";
import { addSent, readAcknowledged, readDefinitions, writeDefinitions, writeProblem } from "../store/exports.ts";
import type { AuditFile } from "./desired-file.ts";
import { createSender, type Sender } from "./sender.ts";

const RETRY_MS = 2_000;
const LAG_INTERVAL_MS = 5_000;
const DURABLE_PREFIX = "export-";

export const durableOf = (id: string): string => `${DURABLE_PREFIX}${id}`;

export interface ExportOptions {
  readonly bus: Bus;
  readonly pool: Pool;
  readonly leadership: Leadership;
  readonly file: AuditFile;
  readonly metrics: Metrics;
  readonly log: Log;
}

interface Run {
  readonly wanted: DesiredExport;
  stop(): Promise<void>;
}

/**
 * Sends events to where the file says, each export from its own place on the stream: one whose receiver is slow or away
 * loses nothing and delays nobody. Only the replica that leads does it, since two would send an export's events out of
 * order. What a crash leaves unacknowledged is sent again.
 */
export function keepExports(options: ExportOptions): void {
  const { leadership, file, bus, pool } = options;
  const measures = measuresOf(options);
  leadership.run("exports", async (signal, begun) => {
    const runs = new Map<string, Run>();
    try {
      while (!signal.aborted) {
        const seen = file.current();
        await recordDefinitions(pool, seen.exports);
        await stopOthers(runs, seen.exports);
        await forgetOthers(bus, seen.exports);
        for (const wanted of seen.exports)
          if (!runs.has(wanted.id)) runs.set(wanted.id, startRun(options, measures, wanted, signal));
        begun();
        await file.changed(seen, signal);
      }
    } finally {
      await Promise.all([...runs.values()].map((run) => run.stop()));
    }
  });
  leadership.run("lags of exports", async (signal, begun) => {
    while (!signal.aborted) {
      const lags = await durableLags(bus, DURABLE_PREFIX);
      measures.lag.reset();
      for (const { id } of file.current().exports) measures.lag.set({ export: id }, lags.get(durableOf(id)) ?? 0);
      begun();
      await delay(LAG_INTERVAL_MS, undefined, { signal }).catch(() => {});
    }
    measures.lag.reset();
  });
}

function measuresOf({ metrics }: Pick<ExportOptions, "metrics">) {
  const labels = ["export"] as const;
  return {
    sent: metrics.counter("tollgate_audit_export_sent_total", "Events that receivers have", labels),
    rejected: metrics.counter("tollgate_audit_export_rejected_total", "Events that receivers will never take", labels),
    missed: metrics.counter(
      "tollgate_audit_export_missed_messages_total",
      "Messages that the stream let go of before",
      labels,
    ),
    failing: metrics.gauge("tollgate_audit_export_failing", "1 while a receiver does not take events", labels),
    lag: metrics.gauge("tollgate_audit_export_lag_messages", "Messages of the stream not yet sent", labels),
  };
}

/** What the file says is in the database with its change events, or neither is. */
async function recordDefinitions(pool: Pool, exports: readonly DesiredExport[]): Promise<void> {
  const wanted = exports.map((each) => ({ id: each.id, definition: definitionOf(each) }));
  await withTransaction(pool, async (client) => {
    const changes = changesOf(await readDefinitions(client), wanted);
    if (changes.length === 0) return;
    await writeDefinitions(client, wanted);
    const now = Date.now();
    await enqueueEvents(
      client,
      "audit",
      changes.map((change) => changeEvent(change, now)),
    );
  });
}

async function stopOthers(runs: Map<string, Run>, exports: readonly DesiredExport[]): Promise<void> {
  const byId = new Map(exports.map((each) => [each.id, each]));
  const others = [...runs].filter(([id, run]) => !isDeepStrictEqual(byId.get(id), run.wanted));
  for (const [id] of others) runs.delete(id);
  await Promise.all(others.map(([, run]) => run.stop()));
}

/** Also what was removed from the file while nobody led. */
async function forgetOthers(bus: Bus, exports: readonly DesiredExport[]): Promise<void> {
  const names = new Set(exports.map(({ id }) => durableOf(id)));
  for (const name of (await durableLags(bus, DURABLE_PREFIX)).keys())
    if (!names.has(name)) await forgetDurable(bus, name);
}

function startRun(options: ExportOptions, measures: Measures, wanted: DesiredExport, leading: AbortSignal): Run {
  const { pool, log } = options;
  const ending = new AbortController();
  const signal = AbortSignal.any([leading, ending.signal]);
  let shown: string | undefined;
  const sender = createSender(wanted, log, (problem) => {
    measures.failing.set({ export: wanted.id }, problem === "" ? 0 : 1);
    if (problem === shown) return;
    shown = problem;
    writeProblem(pool, wanted.id, problem).catch((error: unknown) => {
      shown = undefined;
      log.warn({ err: error, export: wanted.id }, "what is wrong with an export could not be written down");
    });
  });
  const done = follow(options, measures, { wanted, sender, signal });
  return {
    wanted,
    async stop() {
      ending.abort();
      await done;
      sender.close();
      measures.failing.remove({ export: wanted.id });
    },
  };
}

type Measures = ReturnType<typeof measuresOf>;

interface Following {
  readonly wanted: DesiredExport;
  readonly sender: Sender;
  readonly signal: AbortSignal;
}

/** Until `signal` aborts. */
async function follow(options: ExportOptions, measures: Measures, following: Following): Promise<void> {
  const { wanted, signal } = following;
  while (!signal.aborted) {
    try {
      await sendAll(options, measures, following);
    } catch (error) {
      if (signal.aborted) return;
      options.log.warn({ err: error, export: wanted.id, retryMs: RETRY_MS }, "an export begins again at its place");
      await delay(RETRY_MS, undefined, { signal }).catch(() => {});
    }
  }
}

async function sendAll(
  { bus, pool, log }: ExportOptions,
  measures: Measures,
  { wanted, sender, signal }: Following,
): Promise<void> {
  const { id, from, tenants, kinds, batchMax, batchWaitMs } = wanted;
  const batches = readDurably(bus, {
    name: durableOf(id),
    begin: from,
    last: await readAcknowledged(pool, id),
    tenants,
    kinds,
    batchMax,
    batchWaitMs,
    onGap: (messages) => {
      measures.missed.inc({ export: id }, messages);
      log.error({ export: id, messages }, "the stream has let go of messages that this export did not have yet");
    },
    signal,
  });
  for await (const batch of batches) {
    const { sent, rejected } = await sender.send(batch.events, signal);
    await batch.acknowledge();
    measures.sent.inc({ export: id }, sent);
    measures.rejected.inc({ export: id }, rejected);
    await addSent(pool, { id, sent, rejected, position: batch.position });
  }
}
