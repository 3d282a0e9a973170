import type { Share } from "@tollgate/fair-queue";
import type { Era } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { ProcessUsage } from "../containment/limits.ts";

/** One connection to an MCP server, whatever carries it: JSON-RPC texts both ways. */
export interface Transport {
  /** Of stdio: the process; 0 for a remote server. */
  readonly pid: number;
  /**
   * Sends one message, at most once. What is not delivered ends the request it belongs to (`onLost`) or the transport
   * (`onEnd`), never within this call. To cancel: send `notifications/cancelled` with the request's id, in either era
   * (modern HTTP has no such message: there its response is closed instead).
   */
  send(message: Outgoing): void;
  /** The answer to this request is not wanted any more: nothing of it comes after this, and what it holds is freed. */
  abort(id: number): void;
  /** The last of what the server has said about itself outside the protocol (standard error); "" if nothing. */
  tail(): string;
  /** Legacy, after initialize: opens the stream for what the server says unasked (GET). Elsewhere it does nothing. */
  listen(): void;
  /** Of stdio: what the process and all that it has started use; undefined where nobody counts. */
  usage?(): ProcessUsage | undefined;
  /** Milliseconds of the processors that they have used by now; absent where nobody counts. */
  readonly cpuMs?: (() => number) | undefined;
  /** Ends it, and then `onEnd` is called like at any other end. */
  end(): Promise<void>;
}

/** What is known of a message, for the headers of HTTP. The id is ours, as it stands in the text. */
export type OutgoingFrame =
  | {
      readonly kind: "request";
      readonly id: number;
      readonly method: string;
      readonly params?: Readonly<Record<string, unknown>> | undefined;
    }
  | {
      readonly kind: "notification";
      readonly method: string;
      readonly params?: Readonly<Record<string, unknown>> | undefined;
    }
  | { readonly kind: "response" };

/** A client's call. */
export interface OutgoingCall {
  /** The same however often it is handed over. */
  readonly id: string;
  /** Whose turn it is where calls wait. */
  readonly share: Share;
}

export interface Outgoing {
  /** One JSON-RPC message, one line. */
  readonly text: string;
  readonly frame: OutgoingFrame;
  readonly era: Era;
  /** The revision in use on this connection, "" before it is known. */
  readonly protocol: string;
  /** `Mcp-Param-*` with plain values, computed from the tool's inputSchema; the transport encodes what needs it. */
  readonly paramHeaders?: Readonly<Record<string, string>> | undefined;
  /** For connectors; undefined where it is the runner that asks. */
  readonly call?: OutgoingCall | undefined;
}

export interface LostInfo {
  /** It is certain that the server has not taken the request. */
  readonly notDelivered: boolean;
  /** The HTTP status that refused it. Of these only 404 (an expired session) may go better on a new connection. */
  readonly status?: number | undefined;
}

/** What a message was: an answer that somebody waits for, something else, or nothing that JSON-RPC knows. */
export type Heard = "answer" | "unasked" | "garbage";

export interface TransportEvents {
  /**
   * One message of the server, or a batch (2025-03-26 only). `during`: the id of our request on whose response stream
   * it came, where the transport knows (HTTP); undefined for stdio, WebSocket and the GET stream.
   */
  readonly onMessage: (text: string, during: number | undefined) => Heard;
  /** Of connectors: for this request their API is asked, once more. */
  readonly onApiRequest?: (id: number) => void;
  /**
   * The answer to this request cannot come any more. When the connection ends with it, `onEnd` follows in the same
   * tick: whoever sends the request again does so in a later one.
   */
  readonly onLost: (id: number, reason: string, info: LostInfo) => void;
  /**
   * The connection has ended: why, to be read after "the server". Once, after everything else, also after `end()`.
   * Requests without an answer are lost with it.
   */
  readonly onEnd: (reason: string) => void;
}

export type RemoteKind = "auto" | "http" | "sse" | "websocket";

export interface RemoteOptions {
  readonly url: string;
  /** `auto`: Streamable HTTP, and HTTP+SSE where the server does not know that; WebSocket for ws: and wss: urls. */
  readonly transport: RemoteKind;
  /** Of the server's configuration, on every request to its own origin; never logged. */
  readonly headers: Readonly<Record<string, string>>;
  /** Of one message of the server. */
  readonly lineMaxBytes: number;
  readonly events: TransportEvents;
  readonly log: Log;
  /** How long connecting may take. */
  readonly connectMs?: number | undefined;
  /** How long nothing at all may come while an answer is awaited. */
  readonly silenceMs?: number | undefined;
  /** How often a WebSocket is asked whether anybody is there. */
  readonly pingMs?: number | undefined;
}

/** After this servers of the legacy era take requests, and some of them none before. */
export function isInitialized({ frame }: Outgoing): boolean {
  return frame.kind === "notification" && frame.method === "notifications/initialized";
}
