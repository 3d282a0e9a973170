import { Metadata, type CallOptions, type ClientUnaryCall, type ServiceError } from "@grpc/grpc-js";
import { fromGrpc } from "@tollgate/errors";
import type { Log } from "./log.ts";

export function serviceMetadata(serviceKey: string): Metadata {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${serviceKey}`);
  return metadata;
}

type UnaryMethod<Q, A> = (
  request: Q,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, answer: A) => void,
) => ClientUnaryCall;

/**
 * Calls a generated client's unary method. `method` is bound by the caller: `client.decide.bind(client)`.
 * @throws {AppError} the service's own, or `unavailable` / `deadline_exceeded` when it cannot be reached in time
 */
export function callUnary<Q, A>(
  method: UnaryMethod<Q, A>,
  request: Q,
  options: { metadata: Metadata; timeoutMs: number; service: string },
): Promise<A> {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + options.timeoutMs;
    method(request, options.metadata, { deadline }, (error, answer) =>
      error ? reject(fromGrpc(error, options.service)) : resolve(answer),
    );
  });
}

const RECONNECT_MIN_MS = 100;
const RECONNECT_MAX_MS = 2_000;

interface Stream<A> {
  on(event: "data", listener: (message: A) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  cancel(): void;
}

/** Keeps one server stream open until `signal` aborts: opens it again with backoff whenever it ends. */
export function followStream<A, S extends Stream<A>>(options: {
  name: string;
  open: () => S;
  onMessage: (message: A, stream: S) => void;
  onLost?: () => void;
  signal: AbortSignal;
  log: Log;
}): void {
  const { name, open, onMessage, onLost, signal, log } = options;
  let delayMs = RECONNECT_MIN_MS;
  let stream: S | undefined;

  const connect = (): void => {
    if (signal.aborted) return;
    const current = open();
    stream = current;
    let lost = false;
    const again = (reason: string): void => {
      if (lost) return;
      lost = true;
      if (signal.aborted) return;
      onLost?.();
      log.warn({ stream: name, reason, retryMs: delayMs }, "stream lost; opening it again");
      setTimeout(connect, delayMs).unref();
      delayMs = Math.min(delayMs * 2, RECONNECT_MAX_MS);
    };
    current.on("data", (message) => {
      delayMs = RECONNECT_MIN_MS;
      try {
        onMessage(message, current);
      } catch (error) {
        log.error({ err: error, stream: name }, "stream message could not be taken");
      }
    });
    current.on("error", (error) => again(error.message));
    current.on("end", () => again("ended"));
  };

  signal.addEventListener("abort", () => stream?.cancel(), { once: true });
  connect();
}
