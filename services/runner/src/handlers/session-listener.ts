import { randomUUID } from "node:crypto";
import { type Bus, publishToSession } from "@tollgate/bus";
import { RPC } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { PoolOptions } from "../pool/pool.ts";
import { type Questions, relayQuestion } from "./questions.ts";

/** What a server says on a session's own connection while none of its calls is under way goes to the session. */
export function createSessionListener(options: {
  bus: Bus;
  questions: Questions;
  log: Log;
}): PoolOptions["listenerOf"] {
  const { bus, questions, log } = options;
  return ({ session }) => {
    if (session === undefined) throw new Error("a connection is bound to a session only");
    const send = (frame: string) =>
      void publishToSession(bus, session, randomUUID(), frame).catch((error: unknown) =>
        log.warn({ err: error }, "what a server said to a session is lost"),
      );
    return {
      onNotice: ({ text }) => send(text),
      onQuestion(question) {
        const giveUp = relayQuestion(questions, question, { session, send, onSettled: () => undefined });
        if (!giveUp) question.refuse(RPC.internalError, "the client cannot be asked now");
      },
    };
  };
}
