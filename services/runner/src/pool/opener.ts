import type { Log } from "@tollgate/service";
import type { RunnerConfig } from "../config.ts";
import type { Containment } from "../containment/containment.ts";
import { isRemote, type ServerSpec } from "../domain/server-spec.ts";
import type { CommandResolver } from "../launch/command.ts";
import { createApiClient } from "../upstream/api-client.ts";
import { ConnectorTransport } from "../upstream/connector-transport.ts";
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

/** How the connections of one server are opened. */
export interface Opener {
  /** @throws {AppError} `unavailable` when the command is not to be had */
  open(): Promise<(events: TransportEvents) => Transport>;
  /** What they share is not needed any more. */
  close(): void;
}

export function createOpener(options: OpenerOptions): Opener {
  const { spec, config, signal, log } = options;
  const lineMaxBytes = config.responseMaxBytes;
  const { url, headers, connector, serverId: name } = spec;
  if (connector !== undefined) {
    const client = createApiClient(connector);
    const outputMaxBytes = Math.min(lineMaxBytes, spec.limits.outputBytes);
    const open = (events: TransportEvents) =>
      new ConnectorTransport({ connector, client, name, outputMaxBytes, events, log });
    return { open: () => Promise.resolve(open), close: () => client.close() };
  }
  const close = () => undefined;
  if (isRemote(spec)) {
    const transport = REMOTE_KINDS[spec.transport] ?? "auto";
    const open = (events: TransportEvents) => openRemote({ url, headers, transport, lineMaxBytes, events, log });
    return { open: () => Promise.resolve(open), close };
  }
  return {
    close,
    async open() {
      const command = await options.resolveCommand(spec, signal);
      signal.throwIfAborted();
      const contained = options.containment.contain(spec, command);
      return (events) => startStdioTransport({ ...options, contained, lineMaxBytes, events });
    },
  };
}

const REMOTE_KINDS: Readonly<Record<string, RemoteKind>> = {
  "streamable-http": "http",
  sse: "sse",
  websocket: "websocket",
};
