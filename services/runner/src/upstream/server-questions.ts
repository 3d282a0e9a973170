import { type NotificationFrame, type RequestFrame, RPC } from "@tollgate/mcp";

/** A server that asks more than this at once gets errors: somebody would have to answer all of them. */
const OPEN_MAX = 64;

/** A request of the server to its client: open → answered or closed, once. */
export interface Question {
  readonly frame: RequestFrame;
  /** The server's own id as it stands in its text. */
  readonly idText: string;
  /** Sends the response, which bears `idText`. */
  answer(text: string): void;
  refuse(this: void, code: number, message: string): void;
  /**
   * Whether it may be for a call that is still under way: over stdio servers do not say for which call they ask, and of
   * several the newest is taken.
   */
  mayBeOfAnother: () => boolean;
  /** The server has taken it back (its notice), or its connection has ended: no answer is wanted any more. */
  onClosed: ((notice: NotificationFrame | undefined) => void) | undefined;
}

/** The open questions of one connection. */
export interface ServerQuestions {
  /** Undefined when it was answered here: a ping, or one too many. */
  receive(frame: RequestFrame): Question | undefined;
  withdraw(notice: NotificationFrame): void;
  close(): void;
}

export function createServerQuestions(respond: (text: string) => void): ServerQuestions {
  /** By the id's JSON: 1 and "1" are two. */
  const open = new Map<string, Question>();

  function close(key: string, notice: NotificationFrame | undefined): void {
    const question = open.get(key);
    open.delete(key);
    question?.onClosed?.(notice);
  }

  return {
    receive(frame) {
      const key = JSON.stringify(frame.id);
      const span = frame.members.spans["id"]!;
      const idText = frame.text.slice(span.start, span.end);
      if (frame.method === "ping") {
        respond(`{"jsonrpc":"2.0","id":${idText},"result":{}}`);
        return undefined;
      }
      const answer = (text: string) => {
        if (open.delete(key)) respond(text);
      };
      const refuse = (code: number, message: string) =>
        answer(`{"jsonrpc":"2.0","id":${idText},"error":${JSON.stringify({ code, message })}}`);
      if (open.has(key)) return undefined;
      const question: Question = { frame, idText, answer, refuse, mayBeOfAnother: () => false, onClosed: undefined };
      open.set(key, question);
      if (open.size <= OPEN_MAX) return question;
      refuse(RPC.internalError, `${OPEN_MAX} questions are open already`);
      return undefined;
    },
    withdraw: (notice) => close(JSON.stringify(notice.params?.["requestId"]), notice),
    close() {
      for (const key of open.keys()) close(key, undefined);
    },
  };
}
