import { setTimeout as delay } from "node:timers/promises";
import { type Bus, endOfEvents, readEvents } from "@tollgate/bus";
import type { auditV1 } from "@tollgate/contracts";
import { type EventPlace, fits, isBehind, placed, placeText } from "../domain/event-filter.ts";
import type { CallerWatch } from "./caller-watch.ts";
import type { EventStream } from "./event-stream.ts";

/** Read at a time: a client is given that much before it has to have read it. */
const BATCH_EVENTS = 64;
const BATCH_WAIT_MS = 50;
/** What one tail may have read in a second, whatever it is shown of that: tails share the gateway with calls. */
const READ_PER_SECOND_MAX = 2_000;
/** For a client to read what it was given. */
const SLOW_MS = 30_000;
const LOOK_MS = 1_000;

/** Where a tail begins. */
export type TailStart = { readonly after: EventPlace } | { readonly sinceMs: number } | "now";

/** Where a tail is shown. */
export type TailStream = Pick<EventStream, "send" | "event" | "comment" | "drained" | "close" | "onClose">;

/**
 * Shows events as the stream gets them, until the client is gone, too slow, or may not see them any more. Each has its
 * place as its id: a client that comes back with it goes on there.
 * @returns how many were shown
 */
export async function tailEvents(options: {
  bus: Bus;
  filter: auditV1.EventFilter;
  start: TailStart;
  stream: TailStream;
  watch: CallerWatch;
  signal: AbortSignal;
}): Promise<number> {
  const { bus, filter, stream, watch, signal } = options;
  const ending = new AbortController();
  const ended = AbortSignal.any([signal, ending.signal]);
  let over = false;
  const end = (why: string) => {
    if (over) return;
    over = true;
    ending.abort();
    stream.comment(why);
    stream.close();
  };
  const look = async () => {
    if (!(await watch.mayGoOn()) && !signal.aborted) end("you may not see this any more");
  };
  stream.onClose(() => ending.abort());
  // A tail on which nothing comes is ended, too.
  const looking = setInterval(() => void look(), LOOK_MS);
  let shown = 0;
  try {
    const { from, after } = await beginningOf(options);
    const { tenant, kind } = filter;
    const of = { ...(tenant === "" ? {} : { tenant }), ...(kind === "" ? {} : { kind }) };
    const reading = { batchMax: BATCH_EVENTS, batchWaitMs: BATCH_WAIT_MS, signal: ended };
    for await (const { events } of readEvents(bus, { from, ...of, ...reading })) {
      await look();
      if (ended.aborted) break;
      for (const [{ event, line }, place] of placed(events)) {
        if (!isBehind(place, after) || !fits(event, filter)) continue;
        stream.send(line, placeText(place));
        shown += 1;
      }
      if (!(await stream.drained(SLOW_MS))) end("you read too slowly; come back with the last id");
      await delay((events.length / READ_PER_SECOND_MAX) * 1_000, undefined, { signal: ended }).catch(() => undefined);
    }
  } finally {
    clearInterval(looking);
    end("come back with the last id");
  }
  return shown;
}

const BEFORE_ALL: EventPlace = { sequence: 0, place: 0 };

async function beginningOf({ bus, start, stream }: { bus: Bus; start: TailStart; stream: TailStream }) {
  const { stream: made, first, last } = await endOfEvents(bus);
  if (start === "now") return { from: { stream: made, sequence: last }, after: BEFORE_ALL };
  if ("sinceMs" in start) return { from: { fromMs: start.sinceMs }, after: BEFORE_ALL };
  const { after } = start;
  if (after.sequence >= first && after.sequence <= last)
    // The message is read once more: its client may have seen only some of its events.
    return { from: { stream: made, sequence: after.sequence - 1 }, after };
  // One that has aged out, or of a stream that was lost and made anew: what is there is all that can be shown.
  if (after.sequence !== first - 1) stream.event("gap", JSON.stringify({ after: placeText(after), first, last }));
  return { from: { stream: made, sequence: first - 1 }, after: BEFORE_ALL };
}
