import type { Log } from "@tollgate/service";
import type { RemoteKind, Transport, TransportEvents } from "./transport.ts";

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
}

/** Opens a connection to a remote server. It connects by itself: what fails is said by the events. */
export function openRemote(options: RemoteOptions): Transport {
  throw new Error(`not there yet: ${options.transport}`);
}
