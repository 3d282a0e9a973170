import { AppError } from "@tollgate/errors";
import {
  CLIENT_CAPABILITIES_KEY,
  CLIENT_INFO_KEY,
  type Era,
  type Frame,
  type RequestFrame,
  type ResponseFrame,
  LATEST_LEGACY_REVISION,
  LEGACY_REVISIONS,
  MODERN_REVISION,
  parseFrame,
  PROTOCOL_VERSION_KEY,
  rewriteProgress,
  rewriteRequest,
  rewriteResponse,
  RPC,
  SERVER_INFO_KEY,
  toolTexts,
} from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { Command } from "./command.ts";
import type { ProcessLedger } from "./process-ledger.ts";
import { startProcess, type StdioProcess } from "./stdio-process.ts";

/** How long a server may take to say that it does not know `server/discover`, before it is taken for a legacy one. */
const PROBE_TIMEOUT_MS = 2_000;
const TOOLS_MAX = 2_000;
const PAGES_MAX = 100;
const CLIENT_INFO = { name: "tollgate", version: "0.1.0" };
const MODERN_META = {
  [PROTOCOL_VERSION_KEY]: MODERN_REVISION,
  [CLIENT_CAPABILITIES_KEY]: {},
  [CLIENT_INFO_KEY]: CLIENT_INFO,
};

/** A server's answer to one of our requests. */
export type Answer =
  | { readonly kind: "response"; readonly frame: ResponseFrame }
  /** The process ended before it answered. */
  | { readonly kind: "lost"; readonly reason: string };

interface Pending {
  readonly onAnswer: (answer: Answer) => void;
  readonly onProgress: ((frame: Frame) => void) | undefined;
}

export interface CallHandle {
  /** Tells the server that nobody waits any more, and drops what it may still answer. */
  cancel(reason: string): void;
}

/** One running server and the MCP connection to it; many calls at the same time, told apart by ids of our own. */
export interface Connection {
  readonly era: Era;
  readonly serverInfo: string;
  readonly pid: number;
  readonly inFlight: number;
  /** Why it ended, or undefined while it runs. */
  readonly ended: string | undefined;
  /** Each tool's own JSON. */
  listTools(): Promise<string[]>;
  /** Hands a client's request over. `onAnswer` is called once, unless the call is cancelled before. */
  call(frame: Frame, options: CallOptions): CallHandle;
  end(): Promise<void>;
}

export interface CallOptions {
  /** The era that the client speaks: what it gets back is of that era. */
  readonly clientEra: Era;
  /** One line, ready for the client. */
  readonly onAnswer: (answer: { text: string; frame: ResponseFrame } | { lost: string }) => void;
  readonly onProgress: (text: string) => void;
}

/**
 * Starts a server and shakes hands: `server/discover` first, `initialize` where the server does not know that.
 * @throws {AppError} `unavailable` with the reason and the last of its standard error
 */
export async function openConnection(options: {
  command: Command;
  /** Known from before: saves the probe. */
  era: Era | undefined;
  startupTimeoutMs: number;
  lineMaxBytes: number;
  ledger: ProcessLedger;
  log: Log;
  onEnd: (reason: string) => void;
  onToolsChanged: () => void;
}): Promise<Connection> {
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
      for (const each of pending.values()) each.onAnswer({ kind: "lost", reason });
      pending.clear();
      options.onEnd(reason);
    },
  });

  function receive(line: string): void {
    const parsed = parseFrame(line);
    if (!parsed.ok) return log.warn({ reason: parsed.reason }, "the server wrote a line that is no JSON-RPC message");
    const { frame } = parsed;
    if (frame.kind === "response") {
      const waiting = pending.get(Number(frame.id));
      if (!waiting) return log.debug({ id: frame.id }, "an answer that nobody waits for");
      pending.delete(Number(frame.id));
      waiting.onAnswer({ kind: "response", frame });
    } else if (frame.kind === "request") answerServer(frame);
    else if (frame.method === "notifications/progress")
      pending.get(Number(frame.params?.["progressToken"]))?.onProgress?.(frame);
    else if (frame.method === "notifications/tools/list_changed") options.onToolsChanged();
  }

  /** A legacy server may ping; it was told of no other client capability. */
  function answerServer(frame: RequestFrame): void {
    const id = JSON.stringify(frame.id);
    if (frame.method === "ping") return server.write(`{"jsonrpc":"2.0","id":${id},"result":{}}`);
    const error = JSON.stringify({ code: RPC.methodNotFound, message: `the client offers no ${frame.method}` });
    server.write(`{"jsonrpc":"2.0","id":${id},"error":${error}}`);
  }

  async function request(method: string, params: object | undefined, timeoutMs: number): Promise<ResponseFrame> {
    const id = nextId++;
    const answer = await new Promise<Answer>((resolve) => {
      const timer = setTimeout(() => {
        pending.delete(id);
        resolve({ kind: "lost", reason: `did not answer ${method} within ${timeoutMs} ms` });
      }, timeoutMs);
      const onAnswer = (got: Answer) => (clearTimeout(timer), resolve(got));
      pending.set(id, { onAnswer, onProgress: undefined });
      if (ended !== undefined) onAnswer({ kind: "lost", reason: ended });
      else server.write(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
    });
    if (answer.kind === "response") return answer.frame;
    throw new AppError("unavailable", `the server ${answer.reason}${stderrNote(server)}`);
  }

  async function probe(): Promise<ResponseFrame | undefined> {
    if (options.era === "legacy") return undefined;
    try {
      const frame = await request(
        "server/discover",
        { _meta: MODERN_META },
        Math.min(PROBE_TIMEOUT_MS, options.startupTimeoutMs),
      );
      return frame.error === undefined ? frame : undefined;
    } catch (error) {
      if (ended !== undefined) throw error;
      return undefined;
    }
  }

  async function initialize(): Promise<string> {
    const params = { protocolVersion: LATEST_LEGACY_REVISION, capabilities: {}, clientInfo: CLIENT_INFO };
    const { result, error } = await request("initialize", params, options.startupTimeoutMs);
    if (error !== undefined)
      throw new AppError("unavailable", `the server refused initialize: ${String(error.message)}`);
    const { protocolVersion, serverInfo } = (result ?? {}) as { protocolVersion?: unknown; serverInfo?: unknown };
    if (!LEGACY_REVISIONS.some((each) => each === protocolVersion))
      throw new AppError("unavailable", `the server speaks MCP ${String(protocolVersion)}, which is not supported`);
    server.write('{"jsonrpc":"2.0","method":"notifications/initialized"}');
    return JSON.stringify(serverInfo ?? {});
  }

  async function listTools(): Promise<string[]> {
    const tools: string[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < PAGES_MAX; page++) {
      const params = {
        ...(cursor === undefined ? {} : { cursor }),
        ...(era === "modern" ? { _meta: MODERN_META } : {}),
      };
      const frame = await request("tools/list", params, options.startupTimeoutMs);
      if (frame.error?.code === RPC.methodNotFound) return [];
      if (frame.error !== undefined)
        throw new AppError("unavailable", `tools/list failed: ${String(frame.error.message)}`);
      tools.push(...toolTexts(frame));
      if (tools.length > TOOLS_MAX) throw new AppError("unavailable", `the server offers more than ${TOOLS_MAX} tools`);
      cursor = (frame.result as { nextCursor?: string }).nextCursor;
      if (cursor === undefined) return tools;
    }
    throw new AppError("unavailable", `tools/list did not end within ${PAGES_MAX} pages`);
  }

  let era: Era;
  let serverInfo: string;
  try {
    const discovered = await probe();
    era = discovered ? "modern" : "legacy";
    serverInfo = discovered ? JSON.stringify(serverInfoOf(discovered)) : await initialize();
  } catch (error) {
    await server.end();
    throw error;
  }

  return {
    era,
    serverInfo,
    pid: server.pid,
    get inFlight() {
      return pending.size;
    },
    get ended() {
      return ended;
    },
    listTools,
    call(frame, { clientEra, onAnswer, onProgress }) {
      const id = nextId++;
      const addMeta = era === "modern" && clientEra === "legacy";
      const request = rewriteRequest(frame, addMeta ? { id, meta: MODERN_META } : { id });
      const { idText, progressTokenText } = request;
      const members = clientEra === "modern" && era === "legacy" ? { resultType: "complete" } : undefined;
      pending.set(id, {
        onAnswer: (answer) => {
          if (answer.kind === "lost") return onAnswer({ lost: answer.reason });
          const text = rewriteResponse(answer.frame, members === undefined ? { idText } : { idText, members });
          onAnswer({ text, frame: answer.frame });
        },
        onProgress:
          progressTokenText === undefined
            ? undefined
            : (progress) => {
                const text = rewriteProgress(progress, progressTokenText);
                if (text !== undefined) onProgress(text);
              },
      });
      if (ended === undefined) server.write(request.text);
      else process.nextTick(() => pending.delete(id) && onAnswer({ lost: ended! }));
      return {
        cancel(reason) {
          if (!pending.delete(id) || ended !== undefined) return;
          const params = { requestId: id, reason, ...(era === "modern" ? { _meta: MODERN_META } : {}) };
          server.write(JSON.stringify({ jsonrpc: "2.0", method: "notifications/cancelled", params }));
        },
      };
    },
    end: () => server.end(),
  };
}

function stderrNote(server: StdioProcess): string {
  const tail = server.stderrTail();
  return tail === "" ? "" : `; its standard error ends with: ${tail.split("\n").slice(-3).join(" | ")}`;
}

function serverInfoOf(discovered: ResponseFrame): unknown {
  const meta = (discovered.result as { _meta?: Record<string, unknown> } | undefined)?._meta;
  return meta?.[SERVER_INFO_KEY] ?? {};
}
