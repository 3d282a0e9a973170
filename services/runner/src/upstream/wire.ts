import { AppError } from "@tollgate/errors";
import { type Frame, parseFrame, type RequestFrame, type ResponseFrame, RPC } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { Command } from "./command.ts";
import type { ProcessLedger } from "./process-ledger.ts";
import { startProcess, type StdioProcess } from "./stdio-process.ts";

const STDERR_NOTE_LINES = 3;

/** A server's answer to one of our requests. */
export type Answer =
  | { readonly kind: "response"; readonly frame: ResponseFrame }
  /** The process ended before it answered. */
  | { readonly kind: "lost"; readonly reason: string };

export interface Pending {
  readonly onAnswer: (answer: Answer) => void;
  readonly onProgress: ((frame: Frame) => void) | undefined;
}

/** JSON-RPC over one process's standard input and output; requests are told apart by ids of our own. */
export interface Wire {
  readonly pid: number;
  /** Requests that are not answered yet. */
  readonly inFlight: number;
  /** Why the process ended, or undefined while it runs. */
  readonly ended: string | undefined;
  newId(): number;
  /** Sends a request that bears a new id. `onAnswer` is called once, unless the id is forgotten before. */
  send(id: number, text: string, pending: Pending): void;
  /** Drops what may still be answered. False when nothing was awaited any more. */
  forget(id: number): boolean;
  notify(method: string, params?: object): void;
  /** @throws {AppError} `unavailable` with the reason and the last of standard error */
  request(method: string, params: object, timeoutMs: number): Promise<ResponseFrame>;
  end(): Promise<void>;
}

export function openWire(options: {
  command: Command;
  lineMaxBytes: number;
  ledger: ProcessLedger;
  log: Log;
  onEnd: (reason: string) => void;
  onToolsChanged: () => void;
}): Wire {
  const { log } = options;
  const pending = new Map<number, Pending>();
  let nextId = 1;
  let ended: string | undefined;

  const server: StdioProcess = startProcess({
    ...options.command,
    lineMaxBytes: options.lineMaxBytes,
    ledger: options.ledger,
    onLine: (line) => receive(line),
    onStderr: (line) => log.debug({ stderr: line }, "server"),
    onExit: (reason) => {
      ended = reason;
      // The pool first: whoever loses a call may ask it for another process at once.
      options.onEnd(reason);
      const lost = [...pending.values()];
      pending.clear();
      for (const each of lost) each.onAnswer({ kind: "lost", reason });
    },
  });

  function receive(line: string): void {
    const parsed = parseFrame(line);
    if (!parsed.ok) return log.warn({ reason: parsed.reason }, "the server wrote a line that is no JSON-RPC message");
    const { frame } = parsed;
    if (frame.kind === "request") return server.write(answerTo(frame));
    if (frame.kind === "notification") return notice(frame.method, frame);
    const id = Number(frame.id);
    const waiting = pending.get(id);
    if (!waiting) return log.debug({ id: frame.id }, "an answer that nobody waits for");
    pending.delete(id);
    waiting.onAnswer({ kind: "response", frame });
  }

  function notice(method: string, frame: Frame): void {
    if (method === "notifications/tools/list_changed") return options.onToolsChanged();
    if (method !== "notifications/progress") return;
    // Ours are numbers; a server may have made strings of them.
    const token = frame.params?.["progressToken"];
    if (typeof token === "number" || typeof token === "string") pending.get(Number(token))?.onProgress?.(frame);
  }

  function send(id: number, text: string, waiting: Pending): void {
    pending.set(id, waiting);
    if (ended === undefined) server.write(text);
    else process.nextTick(() => pending.delete(id) && waiting.onAnswer({ kind: "lost", reason: ended! }));
  }

  return {
    pid: server.pid,
    get inFlight() {
      return pending.size;
    },
    get ended() {
      return ended;
    },
    newId: () => nextId++,
    send,
    forget: (id) => pending.delete(id),
    notify: (method, params) => server.write(JSON.stringify({ jsonrpc: "2.0", method, params })),
    async request(method, params, timeoutMs) {
      const id = nextId++;
      const answer = await new Promise<Answer>((resolve) => {
        const timer = setTimeout(() => {
          pending.delete(id);
          resolve({ kind: "lost", reason: `did not answer ${method} within ${timeoutMs} ms` });
        }, timeoutMs);
        const onAnswer = (got: Answer) => (clearTimeout(timer), resolve(got));
        send(id, JSON.stringify({ jsonrpc: "2.0", id, method, params }), { onAnswer, onProgress: undefined });
      });
      if (answer.kind === "response") return answer.frame;
      throw new AppError("unavailable", `the server ${answer.reason}${stderrNote(server)}`);
    },
    end: () => server.end(),
  };
}

/** A legacy server may ping; it was told of no other client capability. */
function answerTo(frame: RequestFrame): string {
  const id = JSON.stringify(frame.id);
  if (frame.method === "ping") return `{"jsonrpc":"2.0","id":${id},"result":{}}`;
  const error = JSON.stringify({ code: RPC.methodNotFound, message: `the client offers no ${frame.method}` });
  return `{"jsonrpc":"2.0","id":${id},"error":${error}}`;
}

function stderrNote(server: StdioProcess): string {
  const tail = server.stderrTail();
  if (tail === "") return "";
  return `; its standard error ends with: ${tail.split("\n").slice(-STDERR_NOTE_LINES).join(" | ")}`;
}
