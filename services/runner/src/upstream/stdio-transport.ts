import type { Log } from "@tollgate/service";
import type { Contained } from "../containment/containment.ts";
import { startProcess } from "./stdio-process.ts";
import type { Transport, TransportEvents } from "./transport.ts";

/** A server that is a process of ours: one message per line, both ways. */
export function startStdioTransport(options: {
  contained: Contained;
  lineMaxBytes: number;
  events: TransportEvents;
  log: Log;
}): Transport {
  const { contained, lineMaxBytes, events, log } = options;
  const server = startProcess({
    contained,
    lineMaxBytes,
    onLine: (line) => events.onMessage(line, undefined),
    onStderr: (line) => log.debug({ stderr: line }, "server"),
    onExit: events.onEnd,
  });
  return {
    pid: server.pid,
    send: ({ text }) => server.write(text),
    // Nothing is held for a request; its answer, should it still come, finds nobody.
    abort: () => undefined,
    tail: () => server.stderrTail(),
    listen: () => undefined,
    end: () => server.end(),
  };
}
