import { type RequestFrame, RPC } from "@tollgate/mcp";
import { type InputRequest, inputRequestOf, isInputMethod } from "../domain/input-required.ts";
import type { CallExtras, CallHandle, CallSink } from "../upstream/connection.ts";
import type { Lease, Went } from "../pool/pool.ts";
import type { Question } from "../upstream/server-questions.ts";
import type { Answer } from "../upstream/wire.ts";

/**
 * A client's request in a server's hands, with the connection that it holds. One call waits for it, or, while the
 * client looks for what the server wants to know, none; then another call takes it over.
 */
export interface UpstreamCall {
  readonly lease: Lease;
  /** The server's questions that wait for a client to come back with answers. */
  waiting(): readonly InputRequest[];
  /** False when modern clients cannot be asked this; then the server is told. */
  keep(question: Question): boolean;
  /** The client's result, as JSON, for the question with this key. */
  answer(key: string, resultText: string): void;
  /** Nobody waits for it for a while: what is asked and answered meanwhile is kept. */
  park(owner: string): void;
  /** From now on `sink` hears of it. An answer that came meanwhile comes at once. */
  handTo(sink: CallSink): void;
  /** Nobody waits for it any more: the server is told, unless it has answered, and its questions are refused. */
  cancel(reason: string): void;
  /** What its server has used of the processors for it, since it began or since this was last asked; of remote ones unknown. */
  takeCpuMs(): number | undefined;
  release(went?: Went): void;
}

export function callServer(lease: Lease, frame: RequestFrame, sink: CallSink, extras: CallExtras): UpstreamCall {
  /** Made when it is needed: most calls are asked nothing. */
  let questions: Map<string, Question> | undefined;
  let asked = 0;
  let early: Answer | undefined;
  const cpu = lease.connection.cpu?.begin();
  const handle: CallHandle = lease.connection.call(frame, sink, extras);

  function refuseAll(reason: string): void {
    for (const question of questions?.values() ?? []) question.refuse(RPC.internalError, reason);
    questions = undefined;
  }

  function keep(question: Question): boolean {
    const { method } = question.frame;
    if (!isInputMethod(method)) {
      question.refuse(RPC.methodNotFound, `the client does not know ${method}`);
      return false;
    }
    const key = `q${(asked += 1)}`;
    (questions ??= new Map()).set(key, question);
    question.onClosed = () => questions?.delete(key);
    return true;
  }

  return {
    lease,
    waiting: () => [...(questions ?? [])].map(([key, question]) => inputRequestOf(key, question.frame)),
    keep,
    answer(key, resultText) {
      const question = questions?.get(key);
      questions?.delete(key);
      question?.answer(`{"jsonrpc":"2.0","id":${question.idText},"result":${resultText}}`);
    },
    park: (owner) =>
      handle.handTo({
        owner,
        onAnswer: (answer) => {
          early = answer;
        },
        onNotice: () => undefined,
        onCannotAsk: () => undefined,
        onQuestion: (question) => void keep(question),
      }),
    handTo(next) {
      if (early) next.onAnswer(early);
      else handle.handTo(next);
    },
    cancel(reason) {
      handle.cancel(reason);
      refuseAll(reason);
    },
    takeCpuMs: () => cpu?.takeMs(),
    release(went) {
      cpu?.end();
      refuseAll("the call has ended");
      lease.release(went);
    },
  };
}
