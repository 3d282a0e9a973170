import type { Log } from "@tollgate/service";
import type { RunnerConfig } from "../config.ts";
import type { Containment } from "../containment/containment.ts";
import { isRemote, type ServerSpec } from "../domain/server-spec.ts";
import type { CommandResolver } from "../launch/command.ts";
import { openRemote } from "../upstream/remote-transport.ts";
import { startStdioTransport } from "../upstream/stdio-transport.ts";
import type { RemoteKind, Transport, TransportEvents } from "../upstream/transport.ts";

export interface OpenerOptions {
  readonly spec: ServerSpec;
  readonly config: RunnerConfig;
  readonly resolveCommand: CommandResolver;
  readonly containment: Containment;
  /** Aborted when the runner stops: nothing is waited for any more. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** How a connection is opened. @throws {AppError} `unavailable` when the command is not to be had */
export async function transportOf(options: OpenerOptions): Promise<(events: TransportEvents) => Transport> {
  const { spec, config, signal, log } = options;
  const lineMaxBytes = config.responseMaxBytes;
  const { url, headers } = spec;
  if (isRemote(spec)) {
    const transport = REMOTE_KINDS[spec.transport] ?? "auto";
    return (events) => openRemote({ url, headers, transport, lineMaxBytes, events, log });
  }
  const command = await options.resolveCommand(spec, signal);
  signal.throwIfAborted();
  const contained = options.containment.contain(spec, command);
  return (events) => startStdioTransport({ ...options, contained, lineMaxBytes, events });
}

const REMOTE_KINDS: Readonly<Record<string, RemoteKind>> = {
  "streamable-http": "http",
  sse: "sse",
  websocket: "websocket",
};
