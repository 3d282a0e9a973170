import {
  type Era,
  type Frame,
  type ResponseFrame,
  rewriteProgress,
  rewriteRequest,
  rewriteResponse,
} from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { Command } from "./command.ts";
import { listTools, MODERN_META, shakeHands } from "./handshake.ts";
import type { ProcessLedger } from "./process-ledger.ts";
import { openWire, type Wire } from "./wire.ts";

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
 * Starts a server and shakes hands.
 * @throws {AppError} `unavailable` with the reason and the last of its standard error
 */
export async function openConnection(options: {
  command: Command;
  /** Known from before: saves the probe. */
  era: Era | undefined;
  startupTimeoutMs: number;
  lineMaxBytes: number;
  ledger: ProcessLedger;
  /** Ends a server that is still starting. */
  signal: AbortSignal;
  log: Log;
  onEnd: (reason: string) => void;
  onToolsChanged: () => void;
}): Promise<Connection> {
  const { startupTimeoutMs, signal } = options;
  const wire = openWire(options);
  const stop = () => void wire.end();
  signal.addEventListener("abort", stop);
  try {
    const { era, serverInfo } = await shakeHands(wire, options);
    return {
      era,
      serverInfo,
      pid: wire.pid,
      get inFlight() {
        return wire.inFlight;
      },
      get ended() {
        return wire.ended;
      },
      listTools: () => listTools(wire, { era, timeoutMs: startupTimeoutMs }),
      call: (frame, call) => handOver(wire, era, frame, call),
      end: () => wire.end(),
    };
  } catch (error) {
    await wire.end();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function handOver(wire: Wire, era: Era, frame: Frame, call: CallOptions): CallHandle {
  const { clientEra, onAnswer, onProgress } = call;
  const meta = era === "modern" && clientEra === "legacy" ? { meta: MODERN_META } : {};
  const members = clientEra === "modern" && era === "legacy" ? { members: { resultType: "complete" } } : {};
  const id = wire.newId();
  const { text: request, idText, progressTokenText } = rewriteRequest(frame, { id, ...meta });
  wire.send(id, request, {
    onAnswer: (answer) => {
      if (answer.kind === "lost") return onAnswer({ lost: answer.reason });
      onAnswer({ text: rewriteResponse(answer.frame, { idText, ...members }), frame: answer.frame });
    },
    onProgress: (progress) => {
      const text = progressTokenText === undefined ? undefined : rewriteProgress(progress, progressTokenText);
      if (text !== undefined) onProgress(text);
    },
  });
  return {
    cancel(reason) {
      if (!wire.forget(id) || wire.ended !== undefined) return;
      const params = { requestId: id, reason, ...(era === "modern" ? { _meta: MODERN_META } : {}) };
      wire.notify("notifications/cancelled", params);
    },
  };
}
