import { type AnswerEnvelope, QUESTION_TIMEOUT_MS, questionId, runnerOfQuestion } from "@tollgate/contracts";
import { findMembers, type NotificationFrame, parseFrame, type ResponseFrame, RPC, setId, splice } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { Question } from "../upstream/server-questions.ts";

/** Of all sessions of this runner together. */
const OPEN_MAX = 10_000;

export interface Asking {
  /** Whose answer counts. */
  readonly session: string;
  /** What the client gets: the question under our id, or that it is no longer wanted. */
  readonly send: (frame: string, asks: boolean) => void;
  readonly onAnswer: (frame: ResponseFrame) => void;
  readonly onTimeout: () => void;
}

/** The questions that legacy clients have been asked and have not answered yet. */
export interface Questions {
  /** Gives a question an id, hands it to its client, and waits. Undefined when too many wait already. */
  ask(toFrame: (id: string) => string, asking: Asking): OpenQuestion | undefined;
  /** A client's answer, whoever's it says to be; or what it tells its servers unasked. */
  receive(envelope: AnswerEnvelope, frame: string): void;
  close(): void;
}

export interface OpenQuestion {
  readonly id: string;
  /** No answer is wanted any more. */
  drop(): void;
}

export function createQuestions(options: {
  runner: string;
  onNotice: (session: string, frame: NotificationFrame) => void;
  log: Log;
}): Questions {
  const { runner, log } = options;
  const open = new Map<string, Asking & { readonly timer: NodeJS.Timeout }>();
  let asked = 0;

  function drop(id: string): void {
    clearTimeout(open.get(id)?.timer);
    open.delete(id);
  }

  return {
    ask(toFrame, asking) {
      if (open.size >= OPEN_MAX) return undefined;
      const id = questionId(runner, (asked += 1));
      const timer = setTimeout(() => {
        drop(id);
        asking.onTimeout();
      }, QUESTION_TIMEOUT_MS);
      open.set(id, { ...asking, timer });
      asking.send(toFrame(id), true);
      return { id, drop: () => drop(id) };
    },
    receive({ session }, text) {
      const parsed = parseFrame(text);
      if (!parsed.ok || parsed.frame.kind === "request") return log.warn("an answer that is none");
      const { frame } = parsed;
      if (frame.kind === "notification") return options.onNotice(session, frame);
      const id = String(frame.id);
      const asking = open.get(id);
      if (!asking) return log.debug({ id, ours: runnerOfQuestion(id) === runner }, "an answer that nobody waits for");
      if (asking.session !== session) return log.warn({ id }, "an answer from a session that was not asked");
      drop(id);
      asking.onAnswer(frame);
    },
    close() {
      for (const id of open.keys()) drop(id);
    },
  };
}

/**
 * Passes a legacy server's question on to the session, and the answer back. Returns how to give it up, or undefined
 * when it could not be asked.
 */
export function relayQuestion(
  questions: Questions,
  question: Question,
  options: Pick<Asking, "session" | "send"> & { onSettled: () => void },
): ((reason: string) => void) | undefined {
  const { session, send, onSettled } = options;
  const toFrame = (id: string) => setId(question.frame, JSON.stringify(id));
  const refuse = (reason: string) => question.refuse(RPC.internalError, reason);
  const asked = questions.ask(toFrame, {
    session,
    send,
    onAnswer: (frame) => {
      question.answer(setId(frame, question.idText));
      onSettled();
    },
    onTimeout: () => {
      refuse("the client did not answer in time");
      onSettled();
    },
  });
  if (!asked) {
    refuse("too many questions are open");
    return undefined;
  }
  question.onClosed = (notice) => {
    asked.drop();
    send(cancelled(asked.id, notice), false);
    onSettled();
  };
  return (reason) => {
    asked.drop();
    refuse(reason);
  };
}

/** The server's notice that it wants no answer, with the id that the client knows. */
function cancelled(id: string, notice: NotificationFrame | undefined): string {
  const params = notice?.members.spans["params"];
  const span = notice && params && findMembers(notice.text, params.start, ["requestId"])?.spans["requestId"];
  if (notice && span) return splice(notice.text, [{ ...span, text: JSON.stringify(id) }]);
  const reason = "the connection to the server has ended";
  return JSON.stringify({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: id, reason } });
}
