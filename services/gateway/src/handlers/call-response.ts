import type { FastifyReply, FastifyRequest } from "fastify";
import { type RequestFrame, type RequestId, RPC } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { Refusal } from "../domain/http-checks.ts";
import type { CallSink } from "./calls.ts";
import { type EventStream, openEventStream } from "./event-stream.ts";
import { type McpAnswer, toRefusal } from "./mcp-exchange.ts";

/** Errors of a modern server that its client has to see as an HTTP status too. */
const MODERN_STATUS: Readonly<Record<number, number>> = {
  [RPC.methodNotFound]: 404,
  [RPC.headerMismatch]: 400,
  [RPC.missingClientCapability]: 400,
  [RPC.unsupportedProtocolVersion]: 400,
};
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

export function resultText(id: RequestId, result: string): string {
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${result}}`;
}

interface OpenResponse {
  answer(answer: Exclude<McpAnswer, { kind: "call" }>): void;
  sinkFor(frame: RequestFrame): CallSink;
  /** A modern client cancels by closing its response; a legacy one that went away is no cancellation. */
  cancelOnClose(answer: McpAnswer & { kind: "call" }, cancel: () => void): void;
}

/** One POST's response: plain JSON as long as one message is all there is, an event stream from the second on. */
export function openResponse(
  request: FastifyRequest,
  reply: FastifyReply,
  { modern, log }: { modern: boolean; log: Log },
): OpenResponse {
  let stream: EventStream | undefined;
  let done = false;

  function sendJson(text: string): void {
    done = true;
    const status = modern ? modernStatus(text) : 200;
    void reply.code(status).type("application/json").send(text);
  }

  function end(text: string, eventId?: string): void {
    if (!stream) return sendJson(text);
    done = true;
    stream.send(text, eventId);
    stream.close();
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
      if (answer.session !== undefined) void reply.header("mcp-session-id", answer.session);
      sendJson(resultText(answer.id, answer.result));
    },
    sinkFor: (frame) => ({
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
    cancelOnClose({ era }, cancel) {
      const onClose = () => {
        if (done || era !== "modern") return;
        done = true;
        log.debug("the client closed the response of a call");
        cancel();
      };
      request.raw.socket.setKeepAlive(true);
      // It may have gone while the call was being decided.
      if (reply.raw.destroyed) onClose();
      else reply.raw.once("close", onClose);
    },
  };
}

function modernStatus(text: string): number {
  if (text.length > ERROR_MAX_CHARS || !text.includes('"error"')) return 200;
  const { error } = JSON.parse(text) as { error?: { code?: unknown } };
  return (typeof error?.code === "number" ? MODERN_STATUS[error.code] : undefined) ?? 200;
}
