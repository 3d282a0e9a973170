import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { readEvents } from "./event-stream.ts";
import { type Frame, isAnswerTo } from "./frame.ts";
import { type Gateway, reasonOf, SendError, SilenceError } from "./gateway.ts";
import { parseRetryAfterMs, retryWaitMsMax } from "./retry.ts";
import { failure, type Failure, isObject, type RpcError, rpcErrorOf } from "./rpc-error.ts";

/** The largest answer, or event of a stream, that is passed on. */
const answerBytesMax = 64 * 1024 * 1024;
/** As much of a refusal's body as is read for its reason. */
const refusalBytesMax = 1024 * 1024;

/** Where an exchange's messages go. */
export interface Delivery {
  /** The answer to the frame's request. */
  answer(line: string, message: Record<string, unknown>, head: IncomingMessage): Promise<void>;
  /** Any other message that came on the request's stream. */
  message(line: string): Promise<void>;
}

export interface Exchange {
  readonly gateway: Gateway;
  readonly frame: Frame;
  readonly headers: OutgoingHttpHeaders;
  readonly signal: AbortSignal;
  readonly delivery: Delivery;
  readonly onSent?: () => void;
}

/** How one POST ended. `retry`: another attempt cannot make anything happen twice. */
export type Outcome =
  | { readonly kind: "done" }
  | { readonly kind: "expired"; readonly failure: Failure }
  | {
      readonly kind: "failed";
      readonly failure: Failure;
      readonly retry: boolean;
      readonly retryAfterMs?: number;
      /** The gateway's own answer to this request: passed on, once no attempt is left, in place of `failure`. */
      readonly line?: string;
    };

const done: Outcome = { kind: "done" };

/** Sends one frame and delivers what comes back. Never throws. */
export async function exchange(options: Exchange): Promise<Outcome> {
  const { gateway, frame, headers, signal } = options;
  const progress: Progress = { delivered: false, answered: false };
  try {
    const head = await gateway.post({
      body: frame.bytes,
      headers,
      signal,
      mayBeSilent: frame.method === "subscriptions/listen",
      ...(options.onSent && { onSent: options.onSent }),
    });
    const status = head.statusCode ?? 0;
    return status >= 200 && status < 300
      ? await readSuccess(options, head, progress)
      : await readRefusal(options, head);
  } catch (error) {
    return progress.answered ? done : brokenOff(options, error, progress.delivered);
  }
}

/** What the client has seen of an exchange so far: anything at all, and the answer. */
interface Progress {
  delivered: boolean;
  answered: boolean;
}

async function readSuccess(options: Exchange, head: IncomingMessage, progress: Progress): Promise<Outcome> {
  const { frame, delivery } = options;
  const type = (head.headers["content-type"] ?? "").toLowerCase();
  const deliver = async (text: string): Promise<void> => {
    const message = parse(text);
    if (!isObject(message)) return;
    // Raw newlines are blanks in JSON (inside strings they are escaped), but on stdio they would end the frame.
    const line = text.replaceAll(/[\r\n]/g, " ");
    progress.delivered = true;
    if (isAnswerTo(message, frame.id)) {
      progress.answered = true;
      await delivery.answer(line, message, head);
    } else await delivery.message(line);
  };
  if (type.startsWith("text/event-stream")) {
    for await (const data of readEvents(head, answerBytesMax)) await deliver(data);
  } else if (type.startsWith("application/json")) {
    const body = await readBody(head, answerBytesMax);
    const message = parse(body);
    const error = rpcErrorOf(message);
    if (isAnswerTo(message, frame.id)) await deliver(body);
    else if (error) return failed(fromGateway(error), false);
  } else head.resume();
  if (frame.kind !== "request" || progress.answered) return done;
  return brokenOff(
    options,
    new Error(`it gave no answer (HTTP ${head.statusCode}, ${type || "no content"})`),
    progress.delivered,
  );
}

async function readRefusal({ frame, headers, gateway }: Exchange, head: IncomingMessage): Promise<Outcome> {
  const status = head.statusCode ?? 0;
  const body = await readBody(head, refusalBytesMax);
  const message = parse(body);
  const error = rpcErrorOf(message);
  const reason = statusFailure({
    status,
    frame,
    url: gateway.url,
    head,
    reason: refusalReason(message, error),
    error,
  });
  if (status === 404 && headers["mcp-session-id"] !== undefined && error?.code !== -32601)
    return { kind: "expired", failure: reason };

  const line = isAnswerTo(message, frame.id) ? body.replaceAll(/[\r\n]/g, " ") : undefined;
  const retryAfterMs = parseRetryAfterMs(head.headers["retry-after"], Date.now());
  const declared = retryAfterMs !== undefined || (isObject(error?.data) && error.data["retryable"] === true);
  return {
    kind: "failed",
    failure: reason,
    retry: (status === 429 || status === 503) && declared && (retryAfterMs ?? 0) <= retryWaitMsMax,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(line !== undefined && { line }),
  };
}

/**
 * The rule of at most once: a request that never reached the gateway may go again; one that did, and got no answer, may
 * go again unless it calls a tool or part of its answer has been delivered.
 */
function brokenOff({ frame, gateway }: Exchange, error: unknown, delivered: boolean): Outcome {
  const reason = reasonOf(error);
  if (error instanceof SendError && !error.connected) {
    return failed(
      failure("unavailable", `cannot reach the gateway at ${gateway.url.origin}: ${reason}; is it running?`, true),
      true,
    );
  }
  if (error instanceof RangeError)
    return failed(failure("internal", `the gateway's answer is too large: ${reason}`), false);
  if (frame.method === "tools/call") {
    const message = `no answer came from the gateway (${reason}); the call may or may not have run`;
    return failed(failure("outcome_unknown", message), false);
  }
  const silent = error instanceof SilenceError || (error instanceof SendError && error.cause instanceof SilenceError);
  if (silent) return failed(failure("deadline_exceeded", "the gateway did not answer in time", true), false);
  return failed(failure("unavailable", `the gateway broke off: ${reason}`, true), !delivered);
}

interface Refusal {
  readonly status: number;
  readonly frame: Frame;
  readonly url: URL;
  readonly head: IncomingMessage;
  readonly reason: string;
  readonly error: RpcError | undefined;
}

function statusFailure({ status, frame, url, head, reason, error }: Refusal): Failure {
  if (status === 401) {
    return failure("unauthenticated", `the gateway refused the token (401): ${reason}; run "tollgate-bridge doctor"`);
  }
  if (error) return fromGateway(error);
  if (status === 403) return failure("permission_denied", `the gateway forbids this (403): ${reason}`);
  if (status === 404)
    return failure("not_found", `there is no MCP endpoint at ${url.href} (404); check the URL's path`);
  if (status === 413) return failure("payload_too_large", `the message is too large for the gateway (413): ${reason}`);
  if (status === 429) return failure("overloaded", `the gateway is overloaded (429): ${reason}`, true);
  if (status >= 500) {
    // A proxy's 502 or 504 may come after the call has run; only 503 says that it was not taken in.
    const mayHaveRun = frame.method === "tools/call" && status !== 503;
    return failure(
      "unavailable",
      `the gateway failed (${status}): ${reason}${mayHaveRun ? "; the call may have run" : ""}`,
      !mayHaveRun,
    );
  }
  if (status >= 300 && status < 400) {
    return failure(
      "unavailable",
      `the gateway redirects (${status}) to ${head.headers.location ?? "nowhere"}; use that address as the URL`,
    );
  }
  return failure("invalid_request", `the gateway refused the request (${status}): ${reason}`);
}

function refusalReason(message: unknown, error: RpcError | undefined): string {
  if (error) return error.message;
  const fields = isObject(message)
    ? [message["detail"], message["error_description"], message["title"], message["message"]]
    : [];
  return fields.find((field): field is string => typeof field === "string") ?? "no reason given";
}

function fromGateway(error: RpcError): Failure {
  return { code: "internal", message: error.message, retryable: false, original: error };
}

function failed(reason: Failure, retry: boolean): Outcome {
  return { kind: "failed", failure: reason, retry };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function readBody(head: IncomingMessage, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = [];
  let held = 0;
  for await (const chunk of head as AsyncIterable<Buffer>) {
    held += chunk.length;
    if (held > bytesMax) throw new RangeError(`it is longer than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
