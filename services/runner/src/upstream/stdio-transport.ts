import type { Log } from "@tollgate/service";
import type { Contained } from "../containment/held-process.ts";
import { hideValues } from "./declared-values.ts";
import { createOutputGuard } from "./output-guard.ts";
import { createStderrLog } from "./stderr-log.ts";
import { startProcess } from "./stdio-process.ts";
import type { Transport, TransportEvents } from "./transport.ts";

/** A server that is a process of ours: one message per line, both ways. */
export function startStdioTransport(options: {
  contained: Contained;
  /** What the runner takes, should the server's own limit be more. */
  lineMaxBytes: number;
  events: TransportEvents;
  log: Log;
}): Transport {
  const { contained, events, log } = options;
  const lineMaxBytes = Math.min(options.lineMaxBytes, contained.outputBytes || Infinity);
  const hide = hideValues(contained.declaredEnv);
  const guard = createOutputGuard({
    bytesMax: lineMaxBytes,
    now: Date.now,
    onGarbage: (line) => log.warn({ line }, "the server wrote what is no JSON-RPC message"),
  });
  const stderr = createStderrLog({
    write: (line) => log.info({ stderr: hide(line) }, "server"),
    now: Date.now,
  });
  const server = startProcess({
    contained,
    lineMaxBytes,
    onLine(line) {
      const heard = events.onMessage(line, undefined);
      return guard.note(heard === "garbage" ? hide(line) : line, heard);
    },
    onStderr: (line) => stderr.add(line),
    onExit(reason) {
      stderr.close();
      events.onEnd(reason);
    },
  });
  return {
    pid: server.pid,
    send({ text, frame }) {
      if (server.write(text) || frame.kind !== "request") return;
      process.nextTick(() => events.onLost(frame.id, "does not read its input", { notDelivered: true }));
    },
    // Nothing is held for a request; its answer, should it still come, finds nobody.
    abort: () => undefined,
    tail: () => hide(server.stderrTail()),
    usage: () => contained.usage(),
    cpuMs: contained.cpuMs,
    listen: () => undefined,
    end: () => server.end(),
  };
}
