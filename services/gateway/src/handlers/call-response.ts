import { STREAM_AFTER_MS } from "@tollgate/contracts";
import type { FastifyReply, FastifyRequest } from "fastify";
import { parseJson, type RequestFrame, type RequestId, RPC } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import { prefersStream, type Refusal } from "../domain/http-checks.ts";
import { type CallSink, streamEventId } from "./calls.ts";
import { type EventStream, openEventStream } from "./event-stream.ts";
import { type McpAnswer, type SharedResult, toRefusal } from "./mcp-exchange.ts";

/** Errors of a modern server that its client has to see as an HTTP status too. */
const MODERN_STATUS: Readonly<Record<number, number>> = {
  [RPC.methodNotFound]: 404,
  [RPC.headerMismatch]: 400,
  [RPC.missingClientCapability]: 400,
  [RPC.unsupportedProtocolVersion]: 400,
};
/** After the time at which the runner keeps the answer for resuming; both look at their own clock. */
const CLOCKS_DIFFER_MS = 3_000;
const POLL_AFTER_MS = 3_000;
const RETRY_MS = 500;
/** An error's answer is short: longer ones are not looked at. */
const ERROR_MAX_CHARS = 65_536;

export function refuse(
  reply: FastifyReply,
  id: RequestId | null,
  { status, code, message, data, challenge }: Refusal,
): FastifyReply {
  if (reply.sent) return reply;
  if (challenge !== undefined) void reply.header("www-authenticate", challenge);
  if (typeof data?.["retryAfterSeconds"] === "number") void reply.header("retry-after", data["retryAfterSeconds"]);
  const body = { jsonrpc: "2.0", id, error: { code, message, ...(data === undefined ? {} : { data }) } };
  return reply.code(status).type("application/json").send(JSON.stringify(body));
}

export function errorText(id: RequestId | null, { code, message, data }: Omit<Refusal, "status">): string {
  return JSON.stringify({ jsonrpc: "2.0", id, error: { code, message, ...(data === undefined ? {} : { data }) } });
}

export function resultText(id: RequestId, result: string | SharedResult): string {
  return typeof result === "string" ? `${resultHead(id)}${result}}` : resultHead(id) + result.tail.toString();
}

/** An answer up to where its result begins. */
function resultHead(id: RequestId): string {
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":`;
}

/** Past Fastify, which would want the answer in one piece. */
function sendShared(reply: FastifyReply, id: RequestId, { tail }: SharedResult): void {
  const head = resultHead(id);
  const { raw } = reply.hijack();
  raw.writeHead(200, {
    "content-type": "application/json; charset=utf-8",
    "content-length": Buffer.byteLength(head) + tail.length,
  });
  raw.write(head);
  raw.end(tail);
}

interface OpenResponse {
  answer(answer: Exclude<McpAnswer, { kind: "call" }>): void;
  sinkFor(frame: RequestFrame): CallSink;
  /** What is done until the call is answered. `cancel` is for a client that does not want the answer any more. */
  waitFor(answer: McpAnswer & { kind: "call" }, cancel: () => void): void;
}

/**
 * One POST's response: plain JSON as long as one message is all there is, an event stream from the second on, or when
 * the client prefers one. A session's call that takes long becomes a stream too, one that can be resumed from its
 * beginning (MCP 2025-11-25, Streamable HTTP: an event with an id and no data).
 */
export function openResponse(
  request: FastifyRequest,
  reply: FastifyReply,
  { modern, log }: { modern: boolean; log: Log },
): OpenResponse {
  const wantsStream = prefersStream(request.headers);
  let stream: EventStream | undefined;
  let done = false;

  function end(text: string, eventId?: string): void {
    done = true;
    const status = modern ? modernStatus(text) : 200;
    if (!stream && (!wantsStream || status !== 200)) return void reply.code(status).type("application/json").send(text);
    stream ??= openEventStream(reply);
    stream.send(text, eventId);
    stream.close();
  }

  /** The client may go away and come back for the rest. */
  function prime(callId: string): void {
    if (done || stream) return;
    stream = openEventStream(reply);
    stream.prime(streamEventId(callId, 0), RETRY_MS);
  }

  function waitForSession(callId: string): void {
    if (!wantsStream) return onlyWhileOpen(setTimeout(() => prime(callId), STREAM_AFTER_MS + CLOCKS_DIFFER_MS));
    prime(callId);
    // Its client will ask for the rest; nobody has to hold a connection for a call that takes its time.
    onlyWhileOpen(setTimeout(() => stream?.close(), POLL_AFTER_MS));
  }

  function onlyWhileOpen(timer: NodeJS.Timeout): void {
    reply.raw.once("close", () => clearTimeout(timer));
  }

  return {
    answer(answer) {
      if (answer.kind === "accepted") return void reply.code(202).send();
      if (answer.kind === "error") return void refuse(reply, answer.id, answer.error);
      if (answer.kind === "stream") {
        stream = openEventStream(reply);
        const opened = answer.open(stream);
        return stream.onClose(() => opened.close());
      }
      if (typeof answer.result !== "string" && !wantsStream) {
        done = true;
        return sendShared(reply, answer.id, answer.result);
      }
      if (answer.session !== undefined) void reply.header("mcp-session-id", answer.session);
      const text = resultText(answer.id, answer.result);
      if (answer.session === undefined) return end(text);
      void reply.type("application/json").send(text);
    },
    sinkFor: (frame) => ({
      wantsStream: wantsStream && !modern,
      onWaiting(giveUp) {
        // A legacy client that went away has not cancelled.
        if (!modern) return;
        if (reply.raw.destroyed) giveUp();
        else reply.raw.once("close", giveUp);
      },
      onFrame(text, eventId) {
        if (done || reply.raw.destroyed) return;
        stream ??= openEventStream(reply);
        stream.send(text, eventId);
      },
      onFinal: end,
      onFailure(error) {
        const refusal = toRefusal(error);
        if (stream) return end(errorText(frame.id, refusal));
        done = true;
        refuse(reply, frame.id, refusal);
      },
    }),
    waitFor({ callId, canResume, era }, cancel) {
      const onClose = () => {
        // A legacy client that went away has not cancelled.
        if (done || era !== "modern") return;
        done = true;
        log.debug("the client closed the response of a call");
        cancel();
      };
      request.raw.socket.setKeepAlive(true);
      // It may have gone while the call was being decided.
      if (reply.raw.destroyed) return onClose();
      reply.raw.once("close", onClose);
      if (canResume) waitForSession(callId);
    },
  };
}

function modernStatus(text: string): number {
  if (text.length > ERROR_MAX_CHARS || !text.includes('"error"')) return 200;
  const { error } = parseJson(text) as { error?: { code?: unknown } };
  return (typeof error?.code === "number" ? MODERN_STATUS[error.code] : undefined) ?? 200;
}
