import type { IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { type Delivery, parse, passOn } from "./delivery.ts";
import { type Cursor, readEvents, startCursor } from "./event-stream.ts";
import { type Frame, isAnswerTo, requestsOf } from "./frame.ts";
import type { Gateway } from "./gateway.ts";
import { brokenOff, done, type Exchange, failed, isSilence, type Outcome } from "./link.ts";
import { fromGateway, readBody, readRefusal, refused } from "./refusal.ts";
import { reconnectWaitMs } from "./retry.ts";
import { rpcErrorOf } from "./rpc-error.ts";

/** The largest answer, or event of a stream, that is passed on. */
export const answerBytesMax = 64 * 1024 * 1024;
/** How long a broken stream is asked for again while the gateway does not give it. */
const resumeFailingMsMax = 15_000;

export interface PostOptions extends Exchange {
  readonly gateway: Gateway;
  readonly retryBase: number;
  /** How long a stream that is given again and again may bring nothing new. */
  readonly silenceMsMax: number;
}

/** How far the answer to one POST has come. */
interface Progress {
  /** Requests that have no answer yet. */
  readonly awaited: Set<Frame>;
  readonly cursor: Cursor;
  /** Something has been passed on. */
  delivered: boolean;
  sessionId: string | undefined;
}

/** POSTs one frame and delivers what comes back, over as many connections as it takes. Never throws. */
export async function post(options: PostOptions): Promise<Outcome> {
  const { gateway, frame, headers, signal, onSent } = options;
  const progress: Progress = {
    awaited: new Set(requestsOf(frame)),
    cursor: startCursor(),
    delivered: false,
    sessionId: undefined,
  };
  try {
    const head = await gateway.request({
      method: "POST",
      body: frame.bytes,
      headers,
      signal,
      mayBeSilent: frame.method === "subscriptions/listen",
      ...(onSent && { onSent }),
    });
    if (!isSuccess(head)) return refused(options, await readRefusal(gateway.url, head));
    const sessionId = head.headers["mcp-session-id"];
    if (typeof sessionId === "string") progress.sessionId = sessionId;
    const refusal = await readAnswer(options, head, progress);
    if (refusal) return refusal;
    if (progress.awaited.size > 0) await resume(options, progress);
    return done;
  } catch (error) {
    if (requestsOf(frame).length > 0 && progress.awaited.size === 0) return done;
    return brokenOff({ frame, url: gateway.url, error, delivered: progress.delivered });
  }
}

/** Reads a response to its end. Throws when nothing can come any more although something is awaited. */
async function readAnswer(
  options: PostOptions,
  head: IncomingMessage,
  progress: Progress,
): Promise<Outcome | undefined> {
  const { frame } = options;
  const type = (head.headers["content-type"] ?? "").toLowerCase();
  if (type.startsWith("text/event-stream")) {
    await readStream(options, head, progress).catch((error: unknown) => {
      if (!canResume(options, progress, error)) throw error;
    });
    if (canResume(options, progress)) return undefined;
  } else if (type.startsWith("application/json")) {
    const body = await readBody(head, answerBytesMax);
    const message = parse(body);
    const error = rpcErrorOf(message);
    const isAnswer = Array.isArray(message)
      ? frame.kind === "batch"
      : [...progress.awaited].some(({ id }) => isAnswerTo(message, id));
    if (isAnswer) await passOn(body, collect(options.delivery, progress));
    else if (error) return failed(fromGateway(error), false);
  } else head.resume();
  if (progress.awaited.size > 0)
    throw new Error(`it gave no answer (HTTP ${head.statusCode}, ${type || "no content"})`);
  return undefined;
}

async function readStream(options: PostOptions, head: IncomingMessage, progress: Progress): Promise<void> {
  const delivery = collect(options.delivery, progress);
  const events = readEvents(head, { bytesMax: answerBytesMax, cursor: progress.cursor });
  for await (const data of events) await passOn(data, delivery);
}

/** Notes what comes, and which request it answers. */
function collect({ take, write }: Delivery, progress: Progress): Delivery {
  return {
    write,
    take: (incoming) => {
      progress.delivered = true;
      const request = [...progress.awaited].find(({ id }) => isAnswerTo(incoming.message, id));
      if (request) progress.awaited.delete(request);
      const { sessionId } = progress;
      return take({ ...incoming, ...(request && { request }), ...(sessionId !== undefined && { sessionId }) });
    },
  };
}

/** Streams of the legacy revisions can be taken up again behind the last event that had an id. */
function canResume({ frame, signal }: PostOptions, { awaited, cursor }: Progress, error?: unknown): boolean {
  const isLost = !isSilence(error) && !(error instanceof RangeError);
  return (
    frame.protocolVersion === undefined &&
    awaited.size > 0 &&
    cursor.lastEventId !== undefined &&
    isLost &&
    !signal.aborted
  );
}

/**
 * Asks for the rest of a stream until everything is answered. A server may give it in pieces, closing the connection
 * whenever it likes (2025-11-25, "polling"). Throws when it does not give it, or nothing new for too long.
 */
async function resume(options: PostOptions, progress: Progress): Promise<void> {
  const { gateway, headers, signal } = options;
  const { cursor, awaited } = progress;
  let newsAt = Date.now();
  let givenAt = Date.now();
  for (let attempt = 1; awaited.size > 0; attempt++) {
    await sleep(reconnectWaitMs(cursor.retryMs, { attempt, base: options.retryBase }), undefined, { signal });
    const before = cursor.lastEventId;
    try {
      const position = { "last-event-id": headerText(before ?? "") };
      const head = await gateway.request({
        method: "GET",
        headers: { ...headers, ...position },
        signal,
        mayBeSilent: false,
      });
      if (!isEventStream(head)) {
        head.resume();
        if (!isPassing(head))
          throw new RefusedError(`the stream broke, and its rest was refused: HTTP ${head.statusCode}`);
      } else {
        givenAt = Date.now();
        await readStream(options, head, progress);
      }
    } catch (error) {
      if (error instanceof RefusedError || isSilence(error) || error instanceof RangeError || signal.aborted)
        throw error;
      if (Date.now() - givenAt > resumeFailingMsMax) throw error;
    }
    if (cursor.lastEventId !== before) {
      newsAt = Date.now();
      attempt = 0;
    }
    if (Date.now() - givenAt > resumeFailingMsMax || Date.now() - newsAt > options.silenceMsMax)
      throw new Error("the stream broke, and its rest did not come");
  }
}

class RefusedError extends Error {}

function isSuccess({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300;
}

export function isEventStream(head: IncomingMessage): boolean {
  return isSuccess(head) && (head.headers["content-type"] ?? "").toLowerCase().startsWith("text/event-stream");
}

/** A refusal that may be none in a moment: the gateway is busy, restarting, or has not noticed yet that a connection is lost. */
export function isPassing({ statusCode = 0 }: IncomingMessage): boolean {
  return [408, 409, 429].includes(statusCode) || statusCode >= 500;
}

/** Node writes a header's characters as bytes; an event's id is UTF-8 there (WHATWG HTML, section 9.2.4). */
export function headerText(value: string): string {
  return Buffer.from(value, "utf8").toString("latin1");
}
