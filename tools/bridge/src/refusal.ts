import type { IncomingMessage } from "node:http";
import { parse } from "./delivery.ts";
import { callsTool, type Frame, isAnswerTo } from "./frame.ts";
import type { Exchange, Outcome } from "./link.ts";
import { parseRetryAfterMs, retryWaitMsMax } from "./retry.ts";
import { failure, type Failure, isObject, type RpcError, rpcErrorOf } from "./rpc-error.ts";

/** As much of a refusal's body as is read for its reason. */
const bodyBytesMax = 1024 * 1024;

/** A response whose status is no success. */
export interface HttpRefusal {
  readonly url: URL;
  readonly head: IncomingMessage;
  readonly body: string;
}

export async function readRefusal(url: URL, head: IncomingMessage): Promise<HttpRefusal> {
  return { url, head, body: await readBody(head, bodyBytesMax) };
}

/** What a refusal means for the frame that met it. */
export function refused(
  { frame, inSession, headers }: Pick<Exchange, "frame" | "inSession" | "headers">,
  { url, head, body }: HttpRefusal,
): Outcome {
  const status = head.statusCode ?? 0;
  const message = parse(body);
  const error = rpcErrorOf(message);
  const reason = statusFailure({ status, frame, url, head, reason: refusalReason(message, error), error });
  const hasSession = inSession && headers["mcp-session-id"] !== undefined;
  if (status === 404 && hasSession && error?.code !== -32601) return { kind: "expired", failure: reason };

  const line = isAnswerTo(message, frame.id) ? body.replaceAll(/[\r\n]/g, " ") : undefined;
  const retryAfterMs = parseRetryAfterMs(head.headers["retry-after"], Date.now());
  const declared = retryAfterMs !== undefined || saysRetry(error);
  return {
    kind: "failed",
    failure: reason,
    retry: (status === 429 || status === 503) && declared && (retryAfterMs ?? 0) <= retryWaitMsMax,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(line !== undefined && { line }),
  };
}

/** The gateway's own error, as it is. */
export function fromGateway(error: RpcError): Failure {
  return { code: "internal", message: error.message, retryable: saysRetry(error), original: error };
}

export async function readBody(head: IncomingMessage, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = [];
  let held = 0;
  for await (const chunk of head as AsyncIterable<Buffer>) {
    held += chunk.length;
    if (held > bytesMax) throw new RangeError(`it is longer than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function saysRetry(error: RpcError | undefined): boolean {
  return isObject(error?.data) && error.data["retryable"] === true;
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
    const mayHaveRun = callsTool(frame) && status !== 503;
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
