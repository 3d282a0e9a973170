import type { FastifyReply } from "fastify";
import type { Frame, RequestFrame } from "@tollgate/mcp";
import { errorText, resultText } from "./call-response.ts";
import type { CallSink } from "./calls.ts";
import { type EventStream, openEventStream } from "./event-stream.ts";
import { type McpAnswer, noStreamHere, toRefusal } from "./mcp-exchange.ts";

/** The answers to one batch (MCP 2025-03-26): a list when all are there, an event stream once anything else comes. */
export interface BatchResponse {
  sinkFor(frame: RequestFrame): CallSink;
  answer(frame: Frame, answer: McpAnswer): void;
  /** An answer that nothing else makes. */
  add(text: string): void;
}

/** `expected`: how many requests are to be answered. */
export function openBatchResponse(reply: FastifyReply, expected: number): BatchResponse {
  const texts: string[] = [];
  let stream: EventStream | undefined;

  function add(text: string): void {
    texts.push(text);
    stream?.send(text);
    if (texts.length < expected) return;
    if (stream) stream.close();
    else void reply.type("application/json").send(`[${texts.join(",")}]`);
  }

  return {
    add,
    sinkFor: (frame) => ({
      onFrame(text) {
        if (!stream) {
          stream = openEventStream(reply);
          for (const each of texts) stream.send(each);
        }
        stream.send(text);
      },
      onFinal: (text) => add(text),
      onFailure: (error) => add(errorText(frame.id, toRefusal(error))),
    }),
    answer(frame, answer) {
      if (answer.kind === "result") add(resultText(answer.id, answer.result));
      // What is wrong with a notification has nobody to hear of it.
      else if (answer.kind === "error" && answer.id !== null) add(errorText(answer.id, answer.error));
      else if (answer.kind === "stream" && frame.kind === "request") add(errorText(frame.id, noStreamHere(frame)));
    },
  };
}
