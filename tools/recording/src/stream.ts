import { type Bus, endOfEvents, readEvents } from "@tollgate/bus";

const BATCH_MAX = 5_000;
const BATCH_WAIT_MS = 50;

export interface StreamedCall {
  /** Of its traceparent; empty where it has none. */
  readonly trace: string;
  readonly outcome: string;
}

/** The calls on AUDIT by id, each with the outcome that came first. */
export async function readCalls(bus: Bus): Promise<Map<string, StreamedCall>> {
  const calls = new Map<string, StreamedCall>();
  const { stream, first, last } = await endOfEvents(bus);
  if (last < first) return calls;
  const ending = new AbortController();
  const from = { stream, sequence: 0 };
  for await (const { events, position } of readEvents(bus, {
    from,
    batchMax: BATCH_MAX,
    batchWaitMs: BATCH_WAIT_MS,
    signal: ending.signal,
  })) {
    for (const { event } of events) {
      if (event.kind !== "call" || calls.has(event.id)) continue;
      calls.set(event.id, { trace: event.traceparent?.split("-")[1] ?? "", outcome: event.outcome });
    }
    if (position.sequence >= last) ending.abort();
  }
  return calls;
}
