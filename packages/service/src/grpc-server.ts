import { timingSafeEqual } from "node:crypto";
import {
  ChannelCredentials,
  type ChannelOptions,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { grpcStatus, toAppError } from "@tollgate/errors";
import type { Life } from "./life.ts";
import type { Log } from "./log.ts";
import { refusedValue } from "./postgres.ts";

const MESSAGE_MAX_BYTES = 64 * 1024 * 1024;
const OPTIONS: ChannelOptions = {
  "grpc.max_receive_message_length": MESSAGE_MAX_BYTES,
  "grpc.max_send_message_length": MESSAGE_MAX_BYTES,
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
};

export type GrpcAddress = string;

export interface GrpcServer {
  readonly port: number;
}

/** Serves gRPC to callers that know the installation's service key; others get UNAUTHENTICATED. */
export async function startGrpcServer(options: {
  host: string;
  port: number;
  serviceKey: string;
  services: readonly { definition: ServiceDefinition; implementation: UntypedServiceImplementation }[];
  life: Life;
}): Promise<GrpcServer> {
  const server = new Server({ ...OPTIONS, interceptors: [keyGuard(options.serviceKey)] });
  for (const { definition, implementation } of options.services) server.addService(definition, implementation);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${options.host}:${options.port}`, ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  options.life.onClose("grpc", 1_500, async () => {
    // Watch streams stay open for ever; whoever is still there after a moment is cut off and comes back elsewhere.
    const cut = setTimeout(() => server.forceShutdown(), 300);
    await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    clearTimeout(cut);
  });
  return { port };
}

function keyGuard(serviceKey: string) {
  const expected = Buffer.from(`Bearer ${serviceKey}`);
  return (_method: unknown, call: ConstructorParameters<typeof ServerInterceptingCall>[0]) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, proceed) => {
            const given = Buffer.from(String(metadata.get("authorization")[0] ?? ""));
            if (given.length === expected.length && timingSafeEqual(given, expected)) return proceed(metadata);
            call.sendStatus({ code: status.UNAUTHENTICATED, details: "the service key is missing or wrong" });
          },
        }),
    });
}

/** An async function as a unary gRPC handler; AppErrors keep their code on the way to the caller. */
export function unary<Q, A>(log: Log, handle: (request: Q) => Promise<A> | A): handleUnaryCall<Q, A> {
  return (call, callback) => {
    Promise.resolve()
      .then(() => handle(call.request))
      .then(
        (answer) => callback(null, answer),
        (error: unknown) => {
          const known = refusedValue(error) ?? toAppError(error);
          if (known.code === "internal") log.error({ err: error, method: call.getPath() }, "gRPC handler failed");
          callback(grpcStatus(known));
        },
      );
  };
}

/** A generated client for `address` (host:port). */
export function openGrpcClient<C extends { close(): void }>(
  Client: new (address: string, credentials: ChannelCredentials, options?: ChannelOptions) => C,
  options: { address: GrpcAddress; name: string; life: Life },
): C {
  const client = new Client(options.address, ChannelCredentials.createInsecure(), OPTIONS);
  options.life.onClose(`grpc client ${options.name}`, 1_000, () => client.close());
  return client;
}
