import type { Bus } from "./connection.ts";
import { readEvents, type StreamedEvent } from "./read-events.ts";

const BATCH_MAX = 500;
const BATCH_WAIT_MS = 50;

/** The events of one kind that AUDIT holds now, in their order. Ends with the last of them. */
export async function* readPastEvents(
  bus: Bus,
  { kind, signal }: { kind: string; signal: AbortSignal },
): AsyncGenerator<StreamedEvent, void, undefined> {
  const { streams, auditOf } = bus.subjects;
  const last = await bus.jsm.streams.getMessage(streams.audit, { last_by_subj: auditOf({ kind }) });
  if (last === null) return;
  const from = { stream: "", sequence: 0 };
  const batches = readEvents(bus, { from, kind, batchMax: BATCH_MAX, batchWaitMs: BATCH_WAIT_MS, signal });
  for await (const { events, position } of batches) {
    yield* events.filter(({ sequence }) => sequence <= last.seq);
    if (position.sequence >= last.seq) return;
  }
}
