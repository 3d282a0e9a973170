import { type NotificationFrame, type RequestFrame, RPC } from "@tollgate/mcp";
import { type InputRequest, inputRequestOf, isInputMethod } from "../domain/input-required.ts";
import type { CallExtras, CallHandle } from "../upstream/connection.ts";
import type { Lease } from "../upstream/pool.ts";
import type { Question } from "../upstream/server-questions.ts";
import type { Answer } from "../upstream/wire.ts";

/** Whoever waits for a request's answer now. */
export interface Taker {
  readonly onAnswer: (answer: Answer) => void;
  readonly onNotice: (frame: NotificationFrame) => void;
  readonly onQuestion: (question: Question) => void;
}

/**
 * A client's request in a server's hands, with the connection that it holds. One call waits for it, or, while the
 * client looks for what the server wants to know, none; then another call takes it over.
 */
export interface UpstreamCall {
  readonly lease: Lease;
  /** The server's questions that wait for a client to come back with answers. */
  readonly waiting: readonly InputRequest[];
  /** False when modern clients cannot be asked this; then the server is told. */
  keep(question: Question): boolean;
  /** The client's result, as JSON, for the question with this key. */
  answer(key: string, resultText: string): void;
  /** From now on `taker` hears of it. An answer that came meanwhile comes at once. */
  handTo(taker: Taker): void;
  /** Nobody waits for it any more: the server is told, unless it has answered, and its questions are refused. */
  cancel(reason: string): void;
  release(): void;
}

export function callServer(
  lease: Lease,
  frame: RequestFrame,
  options: { owner: string; extras: CallExtras; taker: Taker },
): UpstreamCall {
  const questions = new Map<string, Question>();
  let asked = 0;
  let { taker } = options;
  let early: Answer | undefined;

  const refuseAll = (reason: string) => {
    for (const question of questions.values()) question.refuse(RPC.internalError, reason);
    questions.clear();
  };
  const handle: CallHandle = lease.connection.call(
    frame,
    {
      owner: options.owner,
      onAnswer: (answer) => {
        early = answer;
        taker.onAnswer(answer);
      },
      onNotice: (notice) => taker.onNotice(notice),
      onQuestion: (question) => taker.onQuestion(question),
    },
    options.extras,
  );
  return {
    lease,
    get waiting() {
      return [...questions].map(([key, question]) => inputRequestOf(key, question.frame));
    },
    keep(question) {
      const { method } = question.frame;
      if (!isInputMethod(method)) {
        question.refuse(RPC.methodNotFound, `the client does not know ${method}`);
        return false;
      }
      const key = `q${(asked += 1)}`;
      questions.set(key, question);
      question.onClosed = () => questions.delete(key);
      return true;
    },
    answer(key, resultText) {
      const question = questions.get(key);
      questions.delete(key);
      question?.answer(`{"jsonrpc":"2.0","id":${question.idText},"result":${resultText}}`);
    },
    handTo(next) {
      taker = next;
      if (early) taker.onAnswer(early);
    },
    cancel(reason) {
      handle.cancel(reason);
      refuseAll(reason);
    },
    release() {
      refuseAll("the call has ended");
      lease.release();
    },
  };
}
