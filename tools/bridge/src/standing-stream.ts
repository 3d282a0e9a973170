import type { IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { type Delivery, passOn } from "./delivery.ts";
import { type Cursor, readEvents, startCursor } from "./event-stream.ts";
import { answerBytesMax, headerText, isEventStream, isPassing } from "./exchange.ts";
import type { Gateway } from "./gateway.ts";
import { reasonOf } from "./link-error.ts";
import type { Listening } from "./link.ts";
import type { Log } from "./log.ts";
import { reconnectWaitMs } from "./retry.ts";

/** A connection that lasted so long was no failure: the next wait is short again. */
const steadyMs = 5_000;

export interface StandingStream extends Listening {
  readonly gateway: Gateway;
  readonly delivery: Delivery;
  readonly retryBase: number;
  readonly log: Log;
}

/**
 * Keeps the stream open by which a legacy session's server speaks without being asked (GET; 2025-03-26 to 2025-11-25).
 * A lost connection is made again behind the last event. A server that has no such stream says so once, and that is
 * no failure. Never throws.
 */
export async function keepListening(stream: StandingStream): Promise<"expired" | "over"> {
  const { signal, log } = stream;
  const cursor = startCursor();
  let wasOpen = false;
  for (let attempt = 1; !signal.aborted; attempt++) {
    const askedAt = Date.now();
    const position = cursor.lastEventId;
    try {
      const head = await ask(stream, cursor);
      if (isEventStream(head)) {
        wasOpen = true;
        await read(stream, head, cursor);
      } else {
        head.resume();
        log.debug(`the gateway gives no standing stream: HTTP ${head.statusCode}`);
        if (!isPassing(head)) return head.statusCode === 404 && wasOpen ? "expired" : "over";
      }
    } catch (error) {
      if (!signal.aborted) log.info(`the standing stream broke: ${reasonOf(error)}`);
    }
    if (cursor.lastEventId !== position || (wasOpen && Date.now() - askedAt > steadyMs)) attempt = 1;
    const waitMs = reconnectWaitMs(cursor.retryMs, { attempt, base: stream.retryBase });
    await sleep(waitMs, undefined, { signal }).catch(() => {});
  }
  return "over";
}

function ask({ gateway, headers, signal }: StandingStream, { lastEventId }: Cursor): Promise<IncomingMessage> {
  return gateway.request({
    method: "GET",
    headers: { ...headers, ...(lastEventId !== undefined && { "last-event-id": headerText(lastEventId) }) },
    signal,
    mayBeSilent: true,
  });
}

async function read({ delivery }: StandingStream, head: IncomingMessage, cursor: Cursor): Promise<void> {
  for await (const data of readEvents(head, { bytesMax: answerBytesMax, cursor })) await passOn(data, delivery);
}
