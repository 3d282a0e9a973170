import type { FastifyReply, FastifyRequest } from "fastify";
import type { RequestFrame, RequestId } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { Refusal } from "../domain/http-checks.ts";
import type { CallSink } from "./calls.ts";
import { type McpAnswer, toRefusal } from "./mcp-exchange.ts";

/** Of one response, unread by its client; one frame more may be on top of it. */
const STREAM_BUFFER_MAX_BYTES = 8 * 1024 * 1024;

export function refuse(
  reply: FastifyReply,
  id: RequestId | null,
  { status, code, message, data }: Refusal,
): FastifyReply {
  if (reply.sent) return reply;
  if (status === 401)
    void reply.header("www-authenticate", `Bearer error="invalid_token", error_description=${JSON.stringify(message)}`);
  if (typeof data?.["retryAfterSeconds"] === "number") void reply.header("retry-after", data["retryAfterSeconds"]);
  const body = { jsonrpc: "2.0", id, error: { code, message, ...(data === undefined ? {} : { data }) } };
  return reply.code(status).type("application/json").send(JSON.stringify(body));
}

interface OpenResponse {
  answer(answer: Exclude<McpAnswer, { kind: "call" }>): void;
  sinkFor(frame: RequestFrame): CallSink;
  /** A modern client cancels by closing its response; a legacy one that went away is no cancellation. */
  cancelOnClose(answer: McpAnswer & { kind: "call" }, cancel: () => void): void;
}

/** One POST's response: plain JSON as long as one message is all there is, an event stream from the second on. */
export function openResponse(request: FastifyRequest, reply: FastifyReply, log: Log): OpenResponse {
  let streaming = false;
  let done = false;

  function sendJson(text: string): void {
    done = true;
    void reply.type("application/json").send(text);
  }

  function beginStream(): void {
    streaming = true;
    void reply.hijack();
    reply.raw.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache, no-transform" });
  }

  function writeEvent(frame: string): void {
    // Whoever does not read is cut off before it fills the memory.
    if (reply.raw.writableLength > STREAM_BUFFER_MAX_BYTES) return void reply.raw.destroy();
    reply.raw.write(`event: message\ndata: ${frame}\n\n`);
  }

  return {
    answer(answer) {
      if (answer.kind === "accepted") return void reply.code(202).send();
      if (answer.kind === "error") return void refuse(reply, answer.id, answer.error);
      if (answer.session !== undefined) void reply.header("mcp-session-id", answer.session);
      sendJson(`{"jsonrpc":"2.0","id":${JSON.stringify(answer.id)},"result":${answer.result}}`);
    },
    sinkFor: (frame) => ({
      onProgress(text) {
        if (done || reply.raw.destroyed) return;
        if (!streaming) beginStream();
        writeEvent(text);
      },
      onFinal(text) {
        if (!streaming) return sendJson(text);
        done = true;
        writeEvent(text);
        reply.raw.end();
      },
      onFailure(error) {
        done = true;
        const refusal = toRefusal(error);
        if (!streaming) return void refuse(reply, frame.id, refusal);
        const { code, message, data } = refusal;
        writeEvent(JSON.stringify({ jsonrpc: "2.0", id: frame.id, error: { code, message, data } }));
        reply.raw.end();
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
