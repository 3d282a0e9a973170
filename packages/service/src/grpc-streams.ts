import type { ClientReadableStream, handleServerStreamingCall, ServiceError } from "@grpc/grpc-js";
import { fromGrpc, grpcStatus, toAppError } from "@tollgate/errors";
import type { Log } from "./log.ts";
import { refusedValue } from "./postgres.ts";

/**
 * What a generator makes as a server-streaming gRPC handler. The next message is asked for when the one before has left:
 * whoever does not read holds the generator up, and costs no memory. It is ended when the caller is gone.
 */
export function serverStream<Q, A>(
  log: Log,
  produce: (request: Q, signal: AbortSignal) => AsyncIterable<A>,
): handleServerStreamingCall<Q, A> {
  return (call) => {
    const ending = new AbortController();
    let gone: () => void = () => undefined;
    call.once("cancelled", () => {
      ending.abort();
      gone();
    });
    const send = (message: A): Promise<void> =>
      new Promise((resolve) => {
        // A call that was cancelled says no more of what was written.
        gone = resolve;
        call.write(message, () => resolve());
      });
    const run = async (): Promise<void> => {
      try {
        for await (const message of produce(call.request, ending.signal)) {
          if (!ending.signal.aborted) await send(message);
          if (ending.signal.aborted) return;
        }
        call.end();
      } catch (error) {
        if (ending.signal.aborted) return;
        const known = refusedValue(error) ?? toAppError(error);
        if (known.code === "internal") log.error({ err: error, method: call.getPath() }, "gRPC handler failed");
        call.emit("error", grpcStatus(known));
      }
    };
    void run();
  };
}

/**
 * What a service streams, no faster than it is asked for. Whoever stops asking ends the call.
 * @throws {AppError} the service's own, or `unavailable` when it cannot be reached
 */
export async function* readStream<A>(
  stream: ClientReadableStream<A>,
  service: string,
): AsyncGenerator<A, void, undefined> {
  // What is cancelled ends with an error that nobody waits for any more.
  stream.on("error", () => undefined);
  try {
    for await (const message of stream) yield message as A;
  } catch (error) {
    throw fromGrpc(error as ServiceError, service);
  } finally {
    stream.cancel();
  }
}
